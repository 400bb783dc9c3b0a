/** Writes the template for the offline AWS into the file that is named. */
import { writeFileSync } from 'node:fs';
import { offline } from '../lib/offline';

const file = process.argv[2];
if (!file) {
  console.error('usage: node build/bin/offline.js FILE');
  process.exit(2);
}
writeFileSync(file, JSON.stringify(offline()));
