/** What people look at: queries by name in Athena, a dashboard in QuickSight, and grants of Lake Formation. */
import { Aws, Fn, Stack } from 'aws-cdk-lib';
import * as athena from 'aws-cdk-lib/aws-athena';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lakeformation from 'aws-cdk-lib/aws-lakeformation';
import * as quicksight from 'aws-cdk-lib/aws-quicksight';
import { Construct } from 'constructs';
import type { Choices } from '../choices';
import { optional } from '../optional';
import { shipped, summary } from '../sql';
import { grant, ofThisAccount, readLake } from './access';
import type { Catalog } from './catalog';
import type { Data } from './data';

export interface AnalyticsProps {
  readonly name: string;
  readonly choices: Choices;
  readonly data: Data;
  readonly catalog: Catalog;
}

export class Analytics extends Construct {
  constructor(scope: Construct, id: string, private readonly props: AnalyticsProps) {
    super(scope, id);
    const { choices } = props;
    for (const [name, sql] of shipped('analyst')) this.query(name, sql);
    optional(choices.given('QuickSightPrincipalArn'), this, 'QuickSight', (node) => this.quickSight(node));
    optional(choices.given('LakeFormationPrincipalArn'), this, 'LakeFormation', (node) => this.lakeFormation(node));
  }

  private query(name: string, sql: string) {
    const { catalog } = this.props;
    new athena.CfnNamedQuery(this, `Query-${name}`, {
      name,
      description: summary(sql).replace(/^\w+: /, ''),
      database: catalog.database,
      workGroup: catalog.workgroup,
      queryString: this.inDatabase(sql),
    });
  }

  /** A text that names the database as it ships names the one that was chosen. */
  private inDatabase(sql: string): string {
    return sql.split(/\balgo_data\b/).join(this.props.catalog.database);
  }

  private quickSight(node: Construct) {
    const { name, choices, catalog } = this.props;
    const principal = choices.value('QuickSightPrincipalArn');
    const permitted = (actions: string[]) => [{ principal, actions: actions.map((action) => `quicksight:${action}`) }];
    const role = this.quickSightRole(node);
    const source = new quicksight.CfnDataSource(node, 'Source', {
      awsAccountId: Aws.ACCOUNT_ID, dataSourceId: `${name}-athena`, name: `${name}: Athena`, type: 'ATHENA',
      dataSourceParameters: { athenaParameters: { workGroup: catalog.workgroup, roleArn: role.roleArn } },
      sslProperties: { disableSsl: false },
      permissions: permitted(['DescribeDataSource', 'DescribeDataSourcePermissions', 'PassDataSource']),
    });
    // QuickSight asks Athena at once whether it may.
    source.node.addDependency(role);
    const sets = DATA_SETS.map((one) => {
      const set = new quicksight.CfnDataSet(node, `DataSet-${one.id}`, {
        awsAccountId: Aws.ACCOUNT_ID, dataSetId: `${name}-${one.id}`, name: `${name}: ${one.title}`, importMode: 'DIRECT_QUERY',
        physicalTableMap: {
          [one.id]: {
            customSql: {
              dataSourceArn: source.attrArn, name: one.id, sqlQuery: this.inDatabase(one.sql),
              columns: Object.entries(one.columns).map(([column, type]) => ({ name: column, type })),
            },
          },
        },
        permissions: permitted(['DescribeDataSet', 'DescribeDataSetPermissions', 'PassDataSet', 'DescribeIngestion', 'ListIngestions']),
      });
      return { identifier: one.id, dataSetArn: set.attrArn };
    });
    const definition = { dataSetIdentifierDeclarations: sets, ...CONTENT };
    new quicksight.CfnAnalysis(node, 'Analysis', {
      awsAccountId: Aws.ACCOUNT_ID, analysisId: `${name}-analysis`, name, definition,
      // Of an analysis one is owner, or sees nothing: there is no set of actions only to read it. Who wants to ask
      // something else changes it, or saves it under another name; the dashboard stays as it was deployed.
      permissions: permitted([
        'DescribeAnalysis', 'QueryAnalysis', 'UpdateAnalysis', 'DeleteAnalysis', 'RestoreAnalysis',
        'DescribeAnalysisPermissions', 'UpdateAnalysisPermissions',
      ]),
    });
    new quicksight.CfnDashboard(node, 'Dashboard', {
      awsAccountId: Aws.ACCOUNT_ID, dashboardId: `${name}-dashboard`, name, definition,
      dashboardPublishOptions: {
        adHocFilteringOption: { availabilityStatus: 'ENABLED' }, exportToCsvOption: { availabilityStatus: 'ENABLED' },
        sheetControlsOption: { visibilityState: 'EXPANDED' },
      },
      permissions: permitted(['DescribeDashboard', 'ListDashboardVersions', 'QueryDashboard']),
    });
  }

  /**
   * What QuickSight may do when it asks for this one data source. Without a role of its own a source has QuickSight's
   * service role, which is the whole account's: a stack cannot give that one the lake and its key. QuickSight's own words
   * for such a role have no condition, so it has none (`ofThisAccount`).
   */
  private quickSightRole(node: Construct): iam.Role {
    const { data, catalog } = this.props;
    const role = new iam.Role(node, 'Role', {
      assumedBy: new iam.ServicePrincipal('quicksight.amazonaws.com'), description: 'Asks Athena for the dashboard',
    });
    query(role, data, catalog);
    return role;
  }

  /**
   * Grants by tag: whoever has the tag may read what bears it, also tables that come later. Whoever deploys this must be
   * an administrator of the data lake, or CloudFormation may neither make the tag nor grant.
   */
  private lakeFormation(node: Construct) {
    const { choices, data, catalog } = this.props;
    const account = Aws.ACCOUNT_ID;
    // Lake Formation writes keys of tags in small letters, which a stack's name need not be.
    const key = `algotrading-${stackWord()}`;
    const tag = new lakeformation.CfnTag(node, 'Tag', { catalogId: account, tagKey: key, tagValues: [TAG] });
    const tagged = new lakeformation.CfnTagAssociation(node, 'Tagged', {
      resource: { database: { catalogId: account, name: catalog.database } },
      lfTags: [{ catalogId: account, tagKey: key, tagValues: [TAG] }],
    });
    tagged.addResourceDependency(tag);
    // Lake Formation hands out the files to whom it grants. Hybrid: the programs' roles keep their access by IAM, and the
    // grants count for those who opted in (`aws lakeformation create-lake-formation-opt-in`; CloudFormation cannot).
    const role = new iam.Role(node, 'Role', {
      assumedBy: ofThisAccount('lakeformation.amazonaws.com'),
      description: 'Hands out the files of the lake to whom Lake Formation grants a table',
    });
    readLake(role, data, catalog.tables.map((one) => `lake/${one.location}`));
    const location = new lakeformation.CfnResource(node, 'Location', {
      resourceArn: `${data.lake.bucketArn}/lake`, roleArn: role.roleArn, useServiceLinkedRole: false, hybridAccessEnabled: true,
    });
    location.node.addDependency(role);
    const granted = (id: string, resourceType: string, permissions: string[]) => {
      const made = new lakeformation.CfnPrincipalPermissions(node, id, {
        principal: { dataLakePrincipalIdentifier: choices.value('LakeFormationPrincipalArn') },
        resource: { lfTagPolicy: { catalogId: account, resourceType, expression: [{ tagKey: key, tagValues: [TAG] }] } },
        permissions, permissionsWithGrantOption: [],
      });
      made.addResourceDependency(tagged);
    };
    granted('Database', 'DATABASE', ['DESCRIBE']);
    granted('Tables', 'TABLE', ['SELECT', 'DESCRIBE']);
  }
}

const TAG = 'bars-and-runs';

/** Eight letters and digits that no other stack has: of its id, not of its name, which may be too long or of capitals. */
export function stackWord(): string {
  return Fn.select(0, Fn.split('-', Fn.select(2, Fn.split('/', Aws.STACK_ID))));
}

/** What somebody needs who asks Athena in the workgroup. */
export function query(role: iam.Role, data: Data, catalog: Catalog) {
  grant(role, [
    'athena:GetWorkGroup', 'athena:StartQueryExecution', 'athena:StopQueryExecution', 'athena:GetQueryExecution',
    'athena:BatchGetQueryExecution', 'athena:ListQueryExecutions', 'athena:GetQueryResults', 'athena:GetQueryResultsStream',
  ], [catalog.workgroupArn]);
  grant(role, ['athena:ListDatabases', 'athena:ListTableMetadata', 'athena:GetDatabase', 'athena:GetTableMetadata', 'athena:GetDataCatalog'],
    [Stack.of(role).formatArn({ service: 'athena', resource: 'datacatalog', resourceName: 'AwsDataCatalog' })]);
  grant(role, ['glue:GetDatabase', 'glue:GetDatabases', 'glue:GetTable', 'glue:GetTables', 'glue:GetPartition', 'glue:GetPartitions'], catalog.arns,
    { why: 'Each table of the one database.' });
  readLake(role, data, catalog.tables.map((one) => `lake/${one.location}`));
  grant(role, ['s3:GetBucketLocation'], [data.lake.bucketArn, catalog.results.bucketArn]);
  grant(role, ['s3:ListBucket', 's3:ListBucketMultipartUploads'], [catalog.results.bucketArn]);
  grant(role, ['s3:GetObject', 's3:PutObject', 's3:ListMultipartUploadParts', 's3:AbortMultipartUpload'], [catalog.results.arnForObjects('athena/*')],
    { why: 'A result is called after its query.' });
  grant(role, ['kms:GenerateDataKey'], [data.key.keyArn]);
}

interface DataSet { readonly id: string; readonly title: string; readonly sql: string; readonly columns: Record<string, string> }

/** What the dashboard asks. The names of QuickSight's types are its own. */
export const DATA_SETS: DataSet[] = [
  {
    // The query of the reference architecture's dashboard, word for word but for its limit.
    id: 'bars', title: 'daily bars', sql: (shipped('analyst').get('reference_history') ?? '').replace(/^--.*\n/gm, '').replace(/ limit \d+$/, ''),
    columns: { day: 'DATETIME', sym: 'STRING', open: 'DECIMAL', close: 'DECIMAL', high: 'DECIMAL', low: 'DECIMAL', vol: 'INTEGER' },
  },
  {
    id: 'runs', title: 'equity and drawdown of runs',
    sql: 'SELECT dt AS day, strategy, run_id, cast(equity AS double) AS equity, drawdown FROM algo_data.equity',
    columns: { day: 'DATETIME', strategy: 'STRING', run_id: 'STRING', equity: 'DECIMAL', drawdown: 'DECIMAL' },
  },
  {
    id: 'refused', title: 'refused rows by rule',
    sql: 'SELECT cast(known_at AS date) AS day, rule, count(*) AS refused FROM algo_data.quarantine GROUP BY cast(known_at AS date), rule',
    columns: { day: 'DATETIME', rule: 'STRING', refused: 'INTEGER' },
  },
  {
    id: 'received', title: 'bars by day',
    sql: 'SELECT cast(dt AS date) AS day, count(*) AS received FROM algo_data.hist_data_daily GROUP BY dt',
    columns: { day: 'DATETIME', received: 'INTEGER' },
  },
];

type Content = Omit<quicksight.CfnDashboard.DashboardVersionDefinitionProperty, 'dataSetIdentifierDeclarations'>;
type Visual = quicksight.CfnDashboard.VisualProperty;
type Aggregation = 'SUM' | 'AVERAGE' | 'MAX';

const column = (set: string, name: string) => ({ dataSetIdentifier: set, columnName: name });
const day = (set: string, visual: string) =>
  ({ dateDimensionField: { fieldId: `${visual}-day`, column: column(set, 'day'), dateGranularity: 'DAY' } });
const word = (set: string, visual: string, name: string) =>
  ({ categoricalDimensionField: { fieldId: `${visual}-${name}`, column: column(set, name) } });
const number = (set: string, visual: string, name: string, simpleNumericalAggregation: Aggregation) =>
  ({ numericalMeasureField: { fieldId: `${visual}-${name}`, column: column(set, name), aggregationFunction: { simpleNumericalAggregation } } });
const headed = (text: string) => ({ visibility: 'VISIBLE', formatText: { plainText: text } });
const forward = (visual: string) => ({ categorySort: [{ fieldSort: { fieldId: `${visual}-day`, direction: 'ASC' } }] });

/** Volume as bars and the close as a line, by day. */
function combo(id: string, title: string): Visual {
  return {
    comboChartVisual: {
      visualId: id, title: headed(title),
      chartConfiguration: {
        barsArrangement: 'CLUSTERED',
        fieldWells: {
          comboChartAggregatedFieldWells: {
            category: [day('bars', id)], barValues: [number('bars', id, 'vol', 'SUM')], lineValues: [number('bars', id, 'close', 'AVERAGE')],
          },
        },
        sortConfiguration: forward(id),
      },
    },
  };
}

/** Where several runs say something of a strategy's day, the strategy's line is the mean of them. */
function line(id: string, title: string, set: string, value: string, by: string): Visual {
  return {
    lineChartVisual: {
      visualId: id, title: headed(title),
      chartConfiguration: {
        type: 'LINE',
        fieldWells: { lineChartAggregatedFieldWells: { category: [day(set, id)], values: [number(set, id, value, 'AVERAGE')], colors: [word(set, id, by)] } },
        sortConfiguration: forward(id),
      },
    },
  };
}

function bars(id: string, title: string, set: string, value: string, by?: string): Visual {
  return {
    barChartVisual: {
      visualId: id, title: headed(title),
      chartConfiguration: {
        orientation: 'VERTICAL', barsArrangement: 'STACKED',
        fieldWells: {
          barChartAggregatedFieldWells: { category: [day(set, id)], values: [number(set, id, value, 'SUM')], ...(by ? { colors: [word(set, id, by)] } : {}) },
        },
        sortConfiguration: forward(id),
      },
    },
  };
}

type Control = quicksight.CfnDashboard.FilterControlProperty;

function sheet(id: string, name: string, visuals: Record<string, Visual>, filterControls: Control[] = []) {
  const elements = Object.keys(visuals).map((elementId, at) =>
    ({ elementId, elementType: 'VISUAL', columnIndex: 0, columnSpan: 36, rowIndex: 12 * at, rowSpan: 12 }));
  return {
    sheetId: id, name, contentType: 'INTERACTIVE', visuals: Object.values(visuals), filterControls,
    layouts: [{ configuration: { gridLayout: { elements } } }],
  };
}

function filtered(id: string, onSheet: string, filter: quicksight.CfnDashboard.FilterProperty) {
  return {
    filterGroupId: id, crossDataset: 'SINGLE_DATASET', status: 'ENABLED', filters: [filter],
    scopeConfiguration: { selectedSheets: { sheetVisualScopingConfigurations: [{ sheetId: onSheet, scope: 'ALL_VISUALS' }] } },
  };
}

const anyOf = (filterId: string, set: string, name: string) => ({
  categoryFilter: {
    filterId, column: column(set, name),
    configuration: { filterListConfiguration: { matchOperator: 'CONTAINS', selectAllOptions: 'FILTER_ALL_VALUES', nullOption: 'NON_NULLS_ONLY' } },
  },
});
const dropDown = (filter: string, title: string) => ({
  dropdown: { filterControlId: `${filter}-control`, sourceFilterId: filter, title, type: 'MULTI_SELECT' },
});

/** The sheets of analysis and dashboard. */
export const CONTENT: Content = {
  filterGroups: [
    filtered('symbols', 'market', anyOf('symbol', 'bars', 'sym')),
    // From the first to the last month that the table of bars knows, unless somebody says which.
    filtered('months', 'market', {
      timeRangeFilter: {
        filterId: 'month', column: column('bars', 'day'), timeGranularity: 'MONTH', nullOption: 'NON_NULLS_ONLY',
        includeMinimum: true, includeMaximum: true,
        rangeMinimumValue: { staticValue: '1990-01-01T00:00:00Z' }, rangeMaximumValue: { staticValue: '2100-12-31T00:00:00Z' },
      },
    }),
    filtered('strategies', 'strategies', anyOf('strategy', 'runs', 'strategy')),
  ],
  sheets: [
    sheet('market', 'Market', { 'volume-and-close': combo('volume-and-close', 'Volume and close by day') }, [
      dropDown('symbol', 'Symbol'),
      { dateTimePicker: { filterControlId: 'month-control', sourceFilterId: 'month', title: 'Month', type: 'DATE_RANGE' } },
    ]),
    sheet('strategies', 'Strategies', {
      equity: line('equity', 'Equity', 'runs', 'equity', 'strategy'),
      drawdown: line('drawdown', 'Drawdown', 'runs', 'drawdown', 'strategy'),
    }, [dropDown('strategy', 'Strategy')]),
    sheet('quality', 'Quality', {
      refused: bars('refused', 'Refused rows by rule and day of arrival', 'refused', 'refused', 'rule'),
      received: bars('received', 'Bars by day', 'received', 'received'),
    }),
  ],
};
