/** What is made for people who look at the data, and that it asks only for what there is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CONTENT, DATA_SETS } from '../lib/resources/analytics';
import { shipped } from '../lib/sql';
import { unknownWords } from './asked';
import { EVERYTHING, one, several, type Resource } from './support';

const QUICKSIGHT = EVERYTHING.QuickSightPrincipalArn ?? '';
const ANALYST = EVERYTHING.LakeFormationPrincipalArn ?? '';
const of = (resources: Record<string, Resource>, type: string) => Object.values(resources).filter((resource) => resource.Type === type);
const only = (resources: Record<string, Resource>, type: string): Resource => {
  const found = of(resources, type);
  assert.equal(found.length, 1, type);
  return found[0] as Resource;
};
const analytics = (given: object) => several(given)['Analytics']?.Resources ?? {};
const words = (value: unknown) => JSON.stringify(value);

test('each query that ships is a named query of the workgroup', () => {
  const made = of(one().template.Resources, 'AWS::Athena::NamedQuery');
  assert.deepEqual(made.map((query) => query.Properties['Name']).sort(), [...shipped('analyst').keys()]);
  for (const { Properties: query, Condition } of made) {
    assert.equal(Condition, undefined);
    assert.match(query['Database'].Ref, /^CatalogDatabase/);
    assert.match(query['WorkGroup'].Ref, /^CatalogWorkGroup/);
    assert.ok(query['Description'].length > 10 && !query['Description'].includes(':'), query['Name']);
    assert.doesNotMatch(words(query['QueryString']), /algo_data/, query['Name']);
  }
  const preview = made.find((query) => query.Properties['Name'] === 'reference_preview');
  assert.match(words(preview?.Properties['QueryString']), /SELECT \* FROM \\*"",\{"Ref":"CatalogDatabase|SELECT \* FROM .*CatalogDatabase/);
});

test('without a principal there is neither QuickSight nor Lake Formation', () => {
  assert.deepEqual([...new Set(Object.values(analytics({})).map((resource) => resource.Type))], ['AWS::Athena::NamedQuery']);
  for (const [id, resource] of Object.entries(one().template.Resources)) {
    if (id.startsWith('AnalyticsQuickSight')) assert.equal(resource.Condition, 'QuickSightPrincipalArnGiven', id);
    if (id.startsWith('AnalyticsLakeFormation')) assert.equal(resource.Condition, 'LakeFormationPrincipalArnGiven', id);
  }
});

test('what QuickSight has is called after the stack, asks directly, and is one principal\'s', () => {
  const made = analytics({ QuickSightPrincipalArn: QUICKSIGHT });
  assert.equal(of(made, 'AWS::LakeFormation::Tag').length, 0);
  const sets = of(made, 'AWS::QuickSight::DataSet');
  assert.deepEqual(sets.map((set) => set.Properties['DataSetId']).sort(), ['fund-bars', 'fund-received', 'fund-refused', 'fund-runs']);
  for (const set of sets) assert.equal(set.Properties['ImportMode'], 'DIRECT_QUERY');
  const source = only(made, 'AWS::QuickSight::DataSource').Properties;
  assert.equal(source['DataSourceId'], 'fund-athena');
  assert.ok(source['DataSourceParameters'].AthenaParameters.RoleArn);
  assert.equal(source['SslProperties'].DisableSsl, false);
  const analysis = only(made, 'AWS::QuickSight::Analysis').Properties;
  const dashboard = only(made, 'AWS::QuickSight::Dashboard').Properties;
  assert.deepEqual([analysis['AnalysisId'], dashboard['DashboardId']], ['fund-analysis', 'fund-dashboard']);
  assert.deepEqual(analysis['Definition'], dashboard['Definition']);
  for (const one of [source, analysis, dashboard, ...sets.map((set) => set.Properties)]) {
    assert.deepEqual(one['Permissions'].map((permission: any) => permission.Principal), [QUICKSIGHT]);
  }
  assert.deepEqual(dashboard['Permissions'][0].Actions,
    ['quicksight:DescribeDashboard', 'quicksight:ListDashboardVersions', 'quicksight:QueryDashboard']);
  // In the template the name is the stack's.
  assert.match(words(only(one().template.Resources, 'AWS::QuickSight::Dashboard').Properties['DashboardId']), /"AWS::StackName"/);
});

test('QuickSight may ask and read the tables, and write only results', () => {
  const made = analytics({ QuickSightPrincipalArn: QUICKSIGHT });
  const role = only(made, 'AWS::IAM::Role');
  assert.deepEqual(role.Properties['AssumeRolePolicyDocument'].Statement[0].Principal, { Service: 'quicksight.amazonaws.com' });
  const actions: string[] = only(made, 'AWS::IAM::Policy').Properties['PolicyDocument'].Statement.flatMap((one: any) => [one.Action].flat());
  assert.deepEqual(actions.filter((action) => /:(Put|Create|Update|Delete|Start|Batch(Create|Delete))/.test(action)).sort(),
    ['athena:StartQueryExecution', 's3:PutObject']);
  const [put] = only(made, 'AWS::IAM::Policy').Properties['PolicyDocument'].Statement.filter((one: any) => [one.Action].flat().includes('s3:PutObject'));
  assert.match(words(put.Resource), /CatalogResults.*\/athena\/\*/);
});

test('the first data set is the reference\'s query', () => {
  const [bars] = DATA_SETS;
  assert.equal(bars?.sql, "SELECT cast(date_parse(dt,'%Y-%m-%d') as date) as day, sym, open, close, high, low, vol FROM algo_data.hist_data_daily");
});

test('data sets ask for columns that there are, and the sheets for columns of data sets', () => {
  for (const set of DATA_SETS) {
    assert.deepEqual(unknownWords(set.sql.replaceAll('algo_data.', '')), [], set.id);
    const answered = (/^SELECT (.*) FROM /.exec(set.sql)?.[1] ?? '').split(/,\s*(?![^(]*\))/).map((part) => (/(\w+)$/.exec(part)?.[1] ?? ''));
    assert.deepEqual(answered, Object.keys(set.columns), set.id);
  }
  const columns = new Map(DATA_SETS.map((set) => [set.id, set.columns]));
  const ids: string[] = [];
  const look = (value: any) => {
    if (typeof value !== 'object' || value === null) return;
    if (value.dataSetIdentifier) assert.ok(columns.get(value.dataSetIdentifier)?.[value.columnName], words(value));
    if (value.dateGranularity) assert.equal(columns.get(value.column.dataSetIdentifier)?.[value.column.columnName], 'DATETIME');
    for (const [key, one] of Object.entries(value)) {
      if (['visualId', 'sheetId', 'filterId', 'filterControlId', 'filterGroupId', 'fieldId'].includes(key) && !('scope' in value)) {
        if (!(key === 'fieldId' && 'direction' in value)) ids.push(`${key} ${one as string}`);
      }
      look(one);
    }
  };
  look(CONTENT);
  assert.equal(new Set(ids).size, ids.length, `twice: ${ids.filter((id, at) => ids.indexOf(id) !== at)}`);
  for (const reference of words(CONTENT).matchAll(/"sourceFilterId":"([^"]+)"/g)) assert.ok(ids.includes(`filterId ${reference[1]}`), reference[0]);
  for (const reference of words(CONTENT).matchAll(/"elementId":"([^"]+)"/g)) assert.ok(ids.includes(`visualId ${reference[1]}`), reference[0]);
  for (const reference of words(CONTENT).matchAll(/"fieldId":"([^"]+)","direction"/g)) assert.ok(ids.includes(`fieldId ${reference[1]}`), reference[0]);
  for (const reference of words(CONTENT).matchAll(/\{"sheetId":"([^"]+)","scope"/g)) assert.ok(ids.includes(`sheetId ${reference[1]}`), reference[0]);
});

test('volume is bars, the close a line, by day, filtered by symbol and by month', () => {
  const text = words(CONTENT.sheets);
  const wells = (CONTENT.sheets as any)[0].visuals[0].comboChartVisual.chartConfiguration.fieldWells.comboChartAggregatedFieldWells;
  assert.equal(wells.category[0].dateDimensionField.column.columnName, 'day');
  assert.equal(wells.barValues[0].numericalMeasureField.column.columnName, 'vol');
  assert.equal(wells.lineValues[0].numericalMeasureField.column.columnName, 'close');
  assert.match(words(CONTENT.filterGroups), /"timeGranularity":"MONTH"/);
  assert.match(text, /"sourceFilterId":"symbol"/);
  assert.match(text, /"sourceFilterId":"month"/);
});

test('Lake Formation grants by tag: tables to read, the database to see, nothing to pass on', () => {
  const made = analytics({ LakeFormationPrincipalArn: ANALYST });
  const tag = only(made, 'AWS::LakeFormation::Tag').Properties;
  const key = tag['TagKey'];
  assert.match(words(key), /algotrading-.*AWS::StackId/);
  assert.deepEqual(only(made, 'AWS::LakeFormation::TagAssociation').Properties['LFTags'][0].TagKey, key);
  const granted = of(made, 'AWS::LakeFormation::PrincipalPermissions').map(({ Properties: grant }) => {
    assert.deepEqual(grant['Principal'], { DataLakePrincipalIdentifier: ANALYST });
    assert.deepEqual(grant['PermissionsWithGrantOption'], []);
    const policy = grant['Resource'].LFTagPolicy;
    assert.deepEqual(policy.Expression, [{ TagKey: key, TagValues: tag['TagValues'] }]);
    return [policy.ResourceType, grant['Permissions']];
  });
  assert.deepEqual(granted, [['DATABASE', ['DESCRIBE']], ['TABLE', ['SELECT', 'DESCRIBE']]]);
  const location = only(made, 'AWS::LakeFormation::Resource').Properties;
  assert.equal(location['HybridAccessEnabled'], true);
  const actions = only(made, 'AWS::IAM::Policy').Properties['PolicyDocument'].Statement.flatMap((one: any) => [one.Action].flat());
  assert.deepEqual(actions.sort(), ['kms:Decrypt', 's3:GetObject', 's3:ListBucket']);
});
