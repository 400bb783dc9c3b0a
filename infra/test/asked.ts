/** What a text of SQL names that is neither SQL nor in the catalogue. */
import { shipped, table } from '../lib/sql';

const SQL = new Set(`select from where group by order limit as on join and or not in desc asc with over partition case when then else end
  distinct null cast date varchar double bigint count sum avg min max max_by min_by date_parse`.split(/\s+/));
const BARS = ['dt', 'sym', 'open', 'high', 'low', 'close', 'vol'];

/** Columns by table and view. */
function catalogue(): Map<string, string[]> {
  const known = new Map<string, string[]>([...shipped('views').keys()].map((name) => [name, BARS]));
  for (const [name, sql] of shipped('tables')) {
    const { columns, keys } = table(name, sql);
    known.set(name, [...columns, ...keys].map((one) => one.name));
  }
  return known;
}

export function unknownWords(sql: string): string[] {
  const known = catalogue();
  const text = sql.replace(/--.*/g, '').replace(/'[^']*'/g, '').toLowerCase();
  const tables = [...text.matchAll(/\b(?:from|join)\s+(\w+)/g)].map(([, name]) => name ?? '');
  const allowed = new Set(tables.flatMap((name) => known.get(name) ?? []));
  for (const name of tables) if (known.has(name)) allowed.add(name);
  for (const [, alias] of text.matchAll(/\bas\s+(\w+)/g)) allowed.add(alias ?? '');
  const words = [...text.matchAll(/[a-z_]\w*/g)].map(([one]) => one);
  return [...new Set(words.filter((one) => !SQL.has(one) && !allowed.has(one)))];
}
