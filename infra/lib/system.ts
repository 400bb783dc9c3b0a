/** The resource modules, composed: once as one stack, once as several. */
import { CfnOutput } from 'aws-cdk-lib';
import { Construct } from 'constructs';
import type { Choices } from './choices';
import { Analytics } from './resources/analytics';
import type { Artifacts } from './resources/artifacts';
import { Catalog } from './resources/catalog';
import { Data } from './resources/data';
import { Engine } from './resources/engine';
import { Ingest } from './resources/ingest';
import { Ml } from './resources/ml';
import { Network } from './resources/network';
import { Notices } from './resources/notices';
import { Operations } from './resources/operations';
import { Trading } from './resources/trading';

/** Where each module goes: for the template they are all the same. */
export interface Places {
  readonly data: Construct;
  readonly platform: Construct;
  readonly analytics: Construct;
  readonly ml: Construct;
  readonly operations: Construct;
}

export interface SystemProps {
  readonly name: string;
  readonly choices: Choices;
  readonly artifacts: (scope: Construct, data: Data) => Artifacts;
  /** More environment of functions and containers. */
  readonly environment?: Record<string, string>;
  readonly exchangeSources?: string[];
}

export class System {
  readonly data: Data;
  readonly catalog: Catalog;
  readonly operations: Operations;
  readonly ingest: Ingest;
  readonly trading: Trading;

  constructor(places: Places, props: SystemProps) {
    const { name, choices } = props;
    this.data = new Data(places.data, 'Data', name, choices);
    this.catalog = new Catalog(places.data, 'Catalog', name, choices, this.data);
    const network = new Network(places.platform, 'Network', choices, this.data);
    const artifacts = props.artifacts(places.platform, this.data);
    const { topic } = new Notices(places.platform, 'Notices', name, choices, this.data);
    new Analytics(places.analytics, 'Analytics', { name, choices, data: this.data, catalog: this.catalog });
    const endpoint = new Ml(places.ml, 'Ml', { name, choices, data: this.data, catalog: this.catalog, topic }).endpointName;
    const environment = {
      LAKE: this.data.lakeUrl,
      EXPORTS: this.data.exportsUrl,
      RECORDS_TABLE: this.data.records.tableName,
      DATA_SETS: choices.value('DataSetId'),
      CRAWLER: this.catalog.crawler.ref,
      DATABASE: this.catalog.database,
      WORKGROUP: this.catalog.workgroup,
      SCAN_BYTES_MAX: choices.value('ScanLimit'),
      MODEL: choices.value('Model'),
      TASK_PREFIX: `${name}-`,
      TOPIC_ARN: topic.topicArn,
      METRICS_NAMESPACE: name,
      ...props.environment,
    };
    const engine = new Engine(places.platform, 'Engine', name, this.data, artifacts, environment);
    this.ingest = new Ingest(places.platform, 'Ingest', {
      name, choices, data: this.data, catalog: this.catalog, network, engine, artifacts, topic, endpoint,
      environment: {
        ...environment,
        CLUSTER: engine.cluster.ref,
        SUBNETS: network.subnets,
        SECURITY_GROUPS: network.securityGroup.securityGroupId,
        PUBLIC_ADDRESS: network.publicAddress,
        ENDPOINT: endpoint,
      },
    });
    this.trading = new Trading(places.platform, 'Live', {
      name, choices, data: this.data, network, engine, artifacts, topic, environment: props.environment ?? {},
    });
    this.operations = new Operations(places.operations, 'Operations', {
      name, choices, data: this.data, ingest: this.ingest, engine, topic, trading: this.trading,
      ...(props.exchangeSources ? { exchangeSources: props.exchangeSources } : {}),
    });
    const said = (place: Construct, id: string, description: string, value: string) => new CfnOutput(place, id, { description, value }).overrideLogicalId(id);
    said(places.data, 'LakeUrl', 'The lake. Kept when the stack is deleted, with its key.', this.data.lakeUrl);
    said(places.data, 'ExportsUrl', 'Where Data Exchange\'s exports land.', this.data.exportsUrl);
    said(places.data, 'ArchiveBucket', 'What nobody can rewrite. Kept when the stack is deleted.', this.data.archive.bucketName);
    said(places.data, 'AccessLogsBucket', 'Who read and wrote the buckets. Kept when the stack is deleted.', this.data.accessLogs.bucketName);
    said(places.data, 'RecordsTable', 'What was done, once. Kept when the stack is deleted.', this.data.records.tableName);
    said(places.data, 'JournalTable', 'What was decided all day, step by step. Kept when the stack is deleted.', this.data.journal.tableName);
    said(places.data, 'Key', 'Key of all that is kept. Kept when the stack is deleted.', this.data.key.keyArn);
    said(places.data, 'Kept', 'What is left when the stack is deleted, and has to be deleted by hand.',
      'lake, archive and access-log buckets, records and journal tables, key');
    said(places.operations, 'StateMachine', 'Start it with {"session": "YYYY-MM-DD"}.', this.operations.eod.stateMachineArn);
    said(places.platform, 'Topic', 'What people are told.', topic.topicArn);
    said(places.data, 'Database', 'In Athena and Glue.', this.catalog.database);
    said(places.data, 'AthenaWorkGroup', 'In Athena.', this.catalog.workgroup);
  }
}
