/** Writes templates/algotrading.template.json, or the file that is named. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { TOP } from '../lib/sql';
import { template } from '../lib/template';

const file = process.argv[2] ?? join(TOP, 'templates', 'algotrading.template.json');
mkdirSync(dirname(file), { recursive: true });
writeFileSync(file, `${JSON.stringify(template(), undefined, 1)}\n`);
