/** The SQL that ships with the programs (crates/queries/sql), read as what the catalogue is made of. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The repository. */
export const TOP = join(__dirname, '..', '..', '..');
const SQL = join(TOP, 'crates', 'queries', 'sql');

export interface Column { readonly name: string; readonly type: string }
export interface Table {
  readonly name: string;
  readonly description: string;
  readonly columns: Column[];
  readonly keys: Column[];
  /** Below the lake. */
  readonly location: string;
  readonly parameters: Record<string, string>;
}

/** Files of a folder by name. */
export function shipped(folder: string): Map<string, string> {
  const files = readdirSync(join(SQL, folder)).filter((file) => file.endsWith('.sql')).sort();
  return new Map(files.map((file) => [file.slice(0, -4), readFileSync(join(SQL, folder, file), 'utf8').trimEnd()]));
}

/** The comment that opens a text. */
export function summary(sql: string): string {
  const lines = sql.split('\n');
  const end = lines.findIndex((line) => !line.startsWith('--'));
  return lines.slice(0, end).map((line) => line.replace(/^-- ?/, '')).join(' ');
}

/** Reads a `CREATE EXTERNAL TABLE` as it is written here; anything else is an error. */
export function table(name: string, sql: string): Table {
  const form = /^CREATE EXTERNAL TABLE IF NOT EXISTS algo_data\.(\w+) \(\n([^;]*?)\n\)\n(?:PARTITIONED BY \(([^)]*)\)\n)?STORED AS PARQUET\nLOCATION '\{lake\}\/([^']*)\/'(?:\nTBLPROPERTIES \(\n([^;]*)\n\))?$/m;
  const found = form.exec(sql.replace(/^--.*\n/gm, ''));
  if (!found || found[1] !== name) throw new Error(`crates/queries/sql/tables/${name}.sql is not written as a table is`);
  const [, , columns = '', keys = '', location = '', properties = ''] = found;
  const column = (text: string): Column => {
    const words = /^`(\w+)` (.+)$/.exec(text.trim());
    if (!words) throw new Error(`table ${name}: \`${text}\` is no column`);
    return { name: words[1] ?? '', type: words[2] ?? '' };
  };
  const listed = (text: string) => (text.trim() ? text.split(/,\s*(?=`)/).map(column) : []);
  const parameters = Object.fromEntries(
    [...properties.matchAll(/'([^']+)' = '([^']*)'/g)].map(([, key, value]) => [key ?? '', value ?? '']),
  );
  return { name, description: summary(sql), columns: listed(columns), keys: listed(keys), location, parameters };
}
