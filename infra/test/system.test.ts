/** What the template and the stacks must be, whatever is in them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { App, Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { Configured, CHOICES } from '../lib/choices';
import { offline } from '../lib/offline';
import { FUNCTIONS, Local, SERVICES } from '../lib/resources/artifacts';
import { TOP } from '../lib/sql';
import { configuration, stacks } from '../lib/stacks';
import { OneFile } from '../lib/synthesizer';
import { CONTEXT } from '../lib/template';
import { EVERYTHING, one, several, type Given, type Resource, type Template } from './support';

const of = (template: Template, type: string): [string, Resource][] =>
  Object.entries(template.Resources).filter(([, resource]) => resource.Type === type);
const text = (value: unknown) => JSON.stringify(value);

test('cdk-nag and the CDK find nothing in the template', () => {
  assert.deepEqual(one().findings, []);
});

test('the template stands alone and fits into CloudFormation', () => {
  const { template } = one();
  assert.ok(text(template).length < 1_000_000);
  assert.ok(Object.keys(template.Resources).length < 500);
  assert.deepEqual(Object.keys(template).sort(), ['Conditions', 'Description', 'Metadata', 'Outputs', 'Parameters', 'Resources', 'Rules']);
  const groups = (template.Metadata['AWS::CloudFormation::Interface'] as any).ParameterGroups;
  assert.deepEqual(groups.flatMap((group: any) => group.Parameters).sort(), Object.keys(template.Parameters).sort());
  assert.doesNotMatch(text(template), /BootstrapVersion|cdk-hnb659fds|AWS::CDK::Metadata|Fn::Transform|AWS::Include/);
  for (const [name, parameter] of Object.entries(template.Parameters)) {
    assert.notEqual(parameter.Default, undefined, `${name} has no default`);
    if (parameter.AllowedValues) assert.ok(parameter.AllowedValues.includes(parameter.Default ?? ''), name);
    else assert.match(parameter.Default ?? '', new RegExp(parameter.AllowedPattern ?? ''), name);
  }
});

test('no account, region, zone or name of IAM is written into it', () => {
  for (const template of [one().template, ...Object.values(several(EVERYTHING))]) {
    // The one account in a test's choices is not the template's.
    const all = text(template).replaceAll('111122223333', '').replaceAll('eu-central-1', '');
    assert.doesNotMatch(all, /\b\d{12}\b(?!\w)/, 'an account');
    assert.doesNotMatch(all, /\b(us|eu|ap|sa|ca|me|af)-(north|south|east|west|central)[a-z]*-\d[a-z]?\b/, 'a region');
    for (const [id, resource] of Object.entries(template.Resources ?? {})) {
      if (!resource.Type.startsWith('AWS::IAM::')) continue;
      for (const name of ['RoleName', 'ManagedPolicyName', 'UserName', 'GroupName']) assert.equal(resource.Properties[name], undefined, id);
      assert.equal(resource.Properties['ManagedPolicyArns'], undefined, `${id} takes a policy of AWS's, which is wider than it needs`);
    }
  }
});

/** Services that use the key in their own name, by the type of resource that makes them. */
const USERS: [string, (resource: Resource) => boolean, string][] = [
  ['AWS::Logs::LogGroup', () => true, 'logs.'],
  ['AWS::CloudWatch::Alarm', (alarm) => text(alarm.Properties['AlarmActions']).includes('Topic'), 'cloudwatch.amazonaws.com'],
  ['AWS::Events::Rule', (rule) => text(rule.Properties['Targets']).includes('DeadLetters') || text(rule.Properties['Targets']).includes('Topic'), 'events.amazonaws.com'],
  ['AWS::Budgets::Budget', () => true, 'budgets.amazonaws.com'],
  ['AWS::DataExchange::EventAction', () => true, 'dataexchange.amazonaws.com'],
  ['AWS::StepFunctions::StateMachine', (machine) => machine.Properties['LoggingConfiguration'] !== undefined, 'delivery.logs.amazonaws.com'],
];

test('what is encrypted with the key is paired with a grant of it', () => {
  const { template } = one();
  const [[keyId, key]] = of(template, 'AWS::KMS::Key') as [[string, Resource]];
  assert.equal(key.Properties['EnableKeyRotation'], true);
  const granted = key.Properties['KeyPolicy'].Statement.slice(1).map((statement: any) => text(statement.Principal));
  const used = new Set<string>();
  for (const [type, uses, service] of USERS) {
    if (!of(template, type).some(([, resource]) => uses(resource))) continue;
    used.add(service);
    assert.ok(granted.some((principal: string) => principal.includes(service)), `${type} needs the key, and ${service} may not use it`);
  }
  for (const principal of granted) {
    assert.ok([...used].some((service) => principal.includes(service)), `${principal} may use the key, and nothing needs it to`);
  }
  // Nothing that can have the key has another, or none.
  const must: [string, string][] = [
    ['AWS::Logs::LogGroup', 'KmsKeyId'], ['AWS::SNS::Topic', 'KmsMasterKeyId'], ['AWS::SQS::Queue', 'KmsMasterKeyId'],
    ['AWS::DynamoDB::Table', 'SSESpecification'], ['AWS::Kinesis::Stream', 'StreamEncryption'], ['AWS::CodeBuild::Project', 'EncryptionKey'], ['AWS::ECR::Repository', 'EncryptionConfiguration'],
  ];
  for (const [type, property] of must) {
    assert.ok(of(template, type).length > 0, type);
    for (const [id, resource] of of(template, type)) assert.ok(text(resource.Properties[property] ?? '').includes(keyId), `${id} is not encrypted with the key`);
  }
  for (const [id, bucket] of of(template, 'AWS::S3::Bucket')) {
    if (!id.startsWith('DataAccessLogs')) assert.ok(text(bucket.Properties['BucketEncryption']).includes(keyId), id);
  }
});

test('every bucket is closed, and refuses what is not encrypted on its way', () => {
  const { template } = one();
  const policies = of(template, 'AWS::S3::BucketPolicy').map(([, policy]) => policy);
  for (const [id, bucket] of of(template, 'AWS::S3::Bucket')) {
    assert.deepEqual(Object.values(bucket.Properties['PublicAccessBlockConfiguration']), [true, true, true, true], id);
    const policy = policies.find((one) => text(one.Properties['Bucket']).includes(id));
    assert.ok(policy && text(policy.Properties['PolicyDocument']).includes('aws:SecureTransport'), id);
  }
});

test('what is kept outlives the stack, and nothing else does', () => {
  const kept = Object.entries(one().template.Resources).filter(([, one]) => one.DeletionPolicy?.startsWith('Retain')).map(([id]) => id.replace(/[0-9A-F]{8}$/, ''));
  assert.deepEqual(kept.sort(), ['DataAccessLogs', 'DataArchive', 'DataJournal', 'DataKey', 'DataLake', 'DataRecords']);
  const { template } = one();
  const bucket = (name: string) => of(template, 'AWS::S3::Bucket').find(([id]) => id.startsWith(name))?.[1].Properties;
  for (const name of ['DataLake', 'DataArchive']) assert.equal(bucket(name)?.['VersioningConfiguration'].Status, 'Enabled');
  assert.deepEqual(bucket('DataArchive')?.['ObjectLockConfiguration'].Rule.DefaultRetention, { Days: { Ref: 'ArchiveDays' }, Mode: 'COMPLIANCE' });
  // Nobody writes over a name of the archive, not even with another version.
  const archive = of(template, 'AWS::S3::BucketPolicy').find(([id]) => id.startsWith('DataArchive'))?.[1].Properties['PolicyDocument'].Statement;
  const once = archive.find((one: { Action: unknown }) => one.Action === 's3:PutObject');
  assert.equal(once.Effect, 'Deny');
  assert.match(text(once.Resource), /Archive.*"\/journal\/\*"/);
  assert.deepEqual(once.Condition, { Null: { 's3:if-none-match': 'true' }, Bool: { 's3:ObjectCreationOperation': 'true' } });
  const tables = of(template, 'AWS::DynamoDB::Table');
  for (const [id, table] of tables) {
    assert.equal(table.Properties['DeletionProtectionEnabled'], true, id);
    assert.equal(table.Properties['PointInTimeRecoverySpecification'].PointInTimeRecoveryEnabled, true, id);
    // By no choice: what is made anew has nothing of what was.
    assert.equal(table.Condition, undefined, id);
  }
  const journal = tables.find(([id]) => id.startsWith('DataJournal'))?.[1].Properties;
  assert.deepEqual(journal?.['KeySchema'], [{ AttributeName: 'strategy', KeyType: 'HASH' }, { AttributeName: 'seq', KeyType: 'RANGE' }]);
  assert.deepEqual(journal?.['AttributeDefinitions'], [{ AttributeName: 'strategy', AttributeType: 'S' }, { AttributeName: 'seq', AttributeType: 'N' }]);
  // A bucket that goes with the stack is emptied first.
  const emptied = of(template, 'Custom::EmptyBucket').map(([, one]) => text(one.Properties['Bucket']));
  for (const [id, one] of of(template, 'AWS::S3::Bucket')) {
    if (one.DeletionPolicy === 'Delete') assert.ok(emptied.some((name) => name.includes(id)), `${id} could not be deleted with objects in it`);
  }
});

test('every log group says how long it keeps, and every function has one', () => {
  const { template } = one();
  for (const [id, group] of of(template, 'AWS::Logs::LogGroup')) assert.ok(group.Properties['RetentionInDays'] > 0, id);
  for (const [id, made] of of(template, 'AWS::Lambda::Function')) {
    assert.ok(made.Properties['LoggingConfig']?.LogGroup, id);
    assert.deepEqual(made.Properties['Architectures'], ['arm64'], id);
  }
});

test('a container runs as nobody, on a root it cannot write, without secrets in its environment', () => {
  const { template } = one();
  const tasks = of(template, 'AWS::ECS::TaskDefinition');
  assert.deepEqual(tasks.map(([, task]) => [task.Properties['ContainerDefinitions'][0].Name, task.Condition]).sort(), [
    ['broker-adapter', 'TradingIsNotOff'], ['guardian', 'TradingIsNotOff'], ['ingest-task', undefined], ['market-data-adapter', 'TradingIsNotOff'],
    ['strategy-runner', undefined], ['strategy-runner', 'TradingIsNotOff'],
  ]);
  const image = tasks[0]?.[1].Properties['ContainerDefinitions'][0].Image;
  for (const [id, task] of tasks) {
    const [container] = task.Properties['ContainerDefinitions'];
    assert.equal(container.ReadonlyRootFilesystem, true, id);
    assert.equal(container.User, '65532:65532', id);
    assert.equal(task.Properties['RuntimePlatform'].CpuArchitecture, 'ARM64', id);
    assert.equal(container.LogConfiguration.LogDriver, 'awslogs', id);
    assert.equal(container.Secrets, undefined, id);
    for (const { Name, Value } of container.Environment) {
      // The name of a secret; the program asks for what is in it.
      if (Name === 'BROKER_SECRET') assert.deepEqual(Value, { Ref: 'BrokerSecret' }, id);
      else assert.doesNotMatch(Name, /SECRET|TOKEN|PASSWORD|KEY/, id);
    }
    assert.deepEqual(container.EntryPoint, [`/${container.Name}`], id);
    assert.deepEqual(container.Image, image, 'all programs are in one image');
    assert.deepEqual(container.MountPoints, [{ ContainerPath: '/tmp', ReadOnly: false, SourceVolume: 'scratch' }], id);
  }
  const groups = of(template, 'AWS::EC2::SecurityGroup').filter(([id]) => !id.startsWith('NetworkPrivateEndpoints'));
  assert.deepEqual(groups.map(([, { Properties: group, Condition }]) => {
    assert.equal(group['SecurityGroupIngress'], undefined);
    return [Condition, ...group['SecurityGroupEgress'].map((rule: any) => [rule.IpProtocol, rule.FromPort, rule.ToPort])];
  }), [[undefined, ['tcp', 443, 443]], ['TradingIsFix', ['tcp', { Ref: 'FixPort' }, { Ref: 'FixPort' }]]]);
  assert.deepEqual(of(template, 'AWS::EC2::SecurityGroupIngress').map(([id]) => id), []);
  assert.deepEqual(of(template, 'AWS::EC2::NatGateway'), []);
});

test('cron expressions are such, and days have only one meaning', () => {
  const { template } = one();
  const schedules = of(template, 'AWS::Scheduler::Schedule');
  assert.equal(schedules.length, 3);
  for (const [id, schedule] of schedules) {
    const { ScheduleExpression: given, ScheduleExpressionTimezone: zone } = schedule.Properties;
    assert.deepEqual(zone, { Ref: 'ScheduleTimezone' }, id);
    const expression = given.Ref ? template.Parameters[given.Ref]?.Default : given;
    cron(expression);
    assert.ok(schedule.Properties['Target'].DeadLetterConfig, id);
  }
  assert.throws(() => cron('cron(30 18 * * MON-FRI *)'), /day/);
  assert.throws(() => cron('cron(61 18 ? * MON-FRI *)'), /minutes/);
  assert.throws(() => cron('cron(30 18 ? * MON-FRI)'), /six/);
});

/** As EventBridge Scheduler reads it: minutes, hours, day of month, month, day of week, year. */
function cron(expression: string) {
  const fields = /^cron\((.*)\)$/.exec(expression)?.[1]?.split(' ') ?? [];
  assert.equal(fields.length, 6, `${expression} has not six fields`);
  const names = ['minutes', 'hours', 'day of month', 'month', 'day of week', 'year'];
  const ranges = [[0, 59], [0, 23], [1, 31], [1, 12], [1, 7], [1970, 2199]] as const;
  const months = 'JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC'.split(' ');
  const days = 'SUN MON TUE WED THU FRI SAT'.split(' ');
  fields.forEach((field, at) => {
    const [least, most] = ranges[at] ?? [0, 0];
    if (field === '*' || (field === '?' && (at === 2 || at === 4))) return;
    for (const part of field.split(/[,/-]/)) {
      const number = at === 3 && months.includes(part) ? months.indexOf(part) + 1 : at === 4 && days.includes(part) ? days.indexOf(part) + 1 : Number(part);
      assert.ok(Number.isInteger(number) && number >= least && number <= most, `${names[at]}: ${part}`);
    }
  });
  assert.equal([fields[2], fields[4]].filter((field) => field === '?').length, 1, `${expression}: one day field must be ?`);
}

test('every alarm tells people, and the runbook says what each means', () => {
  const runbook = readFileSync(join(TOP, 'docs', 'runbook.md'), 'utf8');
  const { template } = one();
  const alarms = of(template, 'AWS::CloudWatch::Alarm');
  assert.equal(alarms.length, 14);
  const silent = alarms.find(([id]) => id.includes('watchsilent'))?.[1].Properties;
  assert.deepEqual([silent?.['TreatMissingData'], silent?.['EvaluationPeriods'], silent?.['Period']], ['breaching', 26, 3600]);
  const beats = alarms.filter(([, alarm]) => alarm.Properties['MetricName'] === 'Heartbeat').map(([, { Properties: alarm, Condition }]) => {
    assert.deepEqual([alarm['TreatMissingData'], alarm['EvaluationPeriods'], alarm['Period'], alarm['ComparisonOperator'], alarm['Threshold']],
      ['breaching', 5, 60, 'LessThanThreshold', 1]);
    assert.equal(Condition, 'TradingIsNotOff');
    return alarm['Dimensions'].map(({ Name, Value }: any) => `${Name}=${Value}`).join();
  });
  assert.deepEqual(beats.sort(), Object.keys(SERVICES).map((program) => `Program=${program}`).sort());
  const [[, dashboard]] = of(template, 'AWS::CloudWatch::Dashboard') as [[string, Resource]];
  for (const [, alarm] of alarms) {
    const name = alarm.Properties['AlarmName']['Fn::Join'][1][1];
    assert.ok(text(dashboard.Properties).includes(name), `the dashboard lacks ${name}`);
  }
  for (const [id, alarm] of alarms) {
    assert.ok(text(alarm.Properties['AlarmActions']).includes('NoticesTopic'), id);
    const name = /, ([a-z-]+)\.$/.exec(alarm.Properties['AlarmDescription'])?.[1] ?? '';
    assert.match(runbook, new RegExp(`^## .*\`?${name}\`?`, 'm'), `docs/runbook.md says nothing of ${name}`);
  }
});

test('docs/deploy.md has each parameter with its default', () => {
  const deploy = readFileSync(join(TOP, 'docs', 'deploy.md'), 'utf8');
  for (const [name, { Default: value }] of Object.entries(one().template.Parameters)) {
    const row = value ? `| \`${name}\` | \`${value}\` |` : `| \`${name}\` | |`;
    assert.ok(deploy.includes(row), `the table of docs/deploy.md lacks ${row}`);
  }
});

test('each choice of the configuration makes the stacks, and only its own resources', () => {
  const count = (templates: Record<string, Template>) => {
    const types = Object.values(templates).flatMap((template) => Object.values(template.Resources ?? {}).map((one) => one.Type));
    return (type: string) => types.filter((one) => one.startsWith(type)).length;
  };
  const least = count(several());
  assert.equal(least('AWS::SageMaker::'), 0);
  assert.equal(least('AWS::QuickSight::'), 0);
  assert.equal(least('AWS::DataExchange::EventAction'), 0);
  assert.equal(least('AWS::SNS::Subscription'), 0);
  assert.equal(least('AWS::Budgets::Budget'), 1);
  for (const type of ['AWS::ECS::Service', 'AWS::Kinesis::Stream', 'AWS::EC2::SecurityGroupEgress']) assert.equal(least(type), 0, type);
  const cases: [Given, string, number][] = [
    [{ DataSetId: EVERYTHING.DataSetId ?? '' }, 'AWS::DataExchange::EventAction', 1],
    [{ NotificationEmail: 'a@b.c' }, 'AWS::SNS::Subscription', 1],
    [{ MonthlyBudget: '0' }, 'AWS::Budgets::Budget', 0],
    [{ PrivateNetwork: 'true' }, 'AWS::EC2::VPCEndpoint', least('AWS::EC2::VPCEndpoint') + 5],
    [{ PrivateNetwork: 'true', Trading: 'paper', TradingStrategy: 'sma' }, 'AWS::EC2::VPCEndpoint', least('AWS::EC2::VPCEndpoint') + 9],
    [{ PrivateNetwork: 'true', Trading: 'paper', TradingStrategy: 'sma', BrokerSecret: EVERYTHING.BrokerSecret ?? '' }, 'AWS::EC2::VPCEndpoint',
      least('AWS::EC2::VPCEndpoint') + 10],
  ];
  for (const [given, type, wanted] of cases) assert.equal(count(several(given))(type), wanted, text(given));
});

test('stacks that keep data cannot be deleted by mistake, and none imports in a circle', () => {
  const templates = several(EVERYTHING);
  assert.deepEqual(Object.keys(templates).sort(), ['Analytics', 'Data', 'Ml', 'Operations', 'Platform']);
  for (const [id, template] of Object.entries(templates)) {
    for (const [name, resource] of Object.entries(template.Resources ?? {})) {
      if (resource.DeletionPolicy?.startsWith('Retain')) assert.equal(id, 'Data', name);
    }
  }
});

test('a configuration that is wrong is refused in a sentence', () => {
  const refused = (given: string, words: RegExp) => assert.throws(() => configuration(given), words);
  refused('{', /no JSON/);
  refused('[]', /JSON object/);
  refused('{"Name": "Fund"}', /small letters/);
  refused('{"DataSet": "x"}', /no choice `DataSet`; there are DataSetId/);
  refused('{"toString": "x"}', /no choice `toString`/);
  refused('{"ArchiveDays": 36501}', /whole days from 1 to 36500/);
  refused('{"ScanLimit": "00000001"}', /bytes/);
  refused('{"Schedule": "cron(30 18)"}', /cron expression/);
  refused('{"QuickSightPrincipalArn": "arn:aws:iam::111122223333:role/a"}', /QuickSight/);
  assert.equal(configuration('\uFEFF{"ScheduleTimezone": "Etc/GMT+5"}').choices.value('ScheduleTimezone'), 'Etc/GMT+5');
  refused('{"PrivateNetwork": "yes"}', /`PrivateNetwork` must be one of true, false; it is "yes"/);
  refused('{"MonthlyBudget": -1}', /`MonthlyBudget` must be whole dollars/);
  refused('{"Trading": "live"}', /one of off, paper, alpaca, fix/);
  refused('{"BrokerSecret": "hunter2"}', /whole ARN of a secret/);
  refused('{"FixPort": 65536}', /port from 1 to 65535/);
  assert.equal(configuration('{"PrivateNetwork": true}').choices.is('PrivateNetwork', 'true'), true);
  assert.equal(new Configured({}).value('DatabaseName'), CHOICES.DatabaseName.default);
});

test('a configuration that cannot be read is named in a sentence', () => {
  const said = (config: string) => {
    const { status, stderr } = spawnSync('node', [join(TOP, 'infra', 'build', 'bin', 'app.js')], { env: { ...process.env, CDK_CONTEXT_JSON: text({ config }) }, encoding: 'utf8' });
    assert.equal(status, 1);
    return stderr;
  };
  const folder = mkdtempSync(join(tmpdir(), 'algotrading-config-'));
  assert.equal(said(folder), `error: ${folder}: that is a folder; name the file in it\n`);
  assert.equal(said(join(folder, 'none.json')), `error: ${join(folder, 'none.json')}: there is no such file\n`);
  writeFileSync(join(folder, 'one.json'), '{"Trading": "alpaca", "TradingStrategy": "sma"}');
  assert.match(said(join(folder, 'one.json')), /one\.json: With Trading=alpaca or fix give BrokerSecret too\.\n$/);
  rmSync(folder, { recursive: true });
});

test('the offline AWS gets the same system, less what it does not know', () => {
  const types = (template: Record<string, any>) => new Set(Object.values(template['Resources']).map((one: any) => one.Type as string));
  const [there, here] = [types(one().template), types(offline())];
  const lacking = [...there].filter((type) => !here.has(type)).sort();
  assert.deepEqual(lacking.filter((type) => !/SageMaker|QuickSight|LakeFormation/.test(type)), [
    'AWS::Athena::NamedQuery', 'AWS::Budgets::Budget', 'AWS::CodeBuild::Project', 'AWS::DataExchange::EventAction',
    'AWS::EC2::FlowLog', 'AWS::ECR::Repository', 'Custom::Artifacts',
  ]);
});

test('the image is called after what it is made of, and nothing else', () => {
  const context = imageContext();
  const files = readdirSync(context, { recursive: true }).map(String).filter((file) => file !== '.dockerignore');
  const copied = [...readFileSync(join(TOP, 'fargate', 'Dockerfile'), 'utf8').matchAll(/^COPY (?!--)(.+) \S+$/gm)].flatMap(([, sources]) => (sources ?? '').split(' '));
  assert.deepEqual(files.filter((file) => !file.includes('/')).sort(), copied.sort());
  // All that the compiler is given: each member of the workspace, and what is read into the programs.
  const members = [...readFileSync(join(TOP, 'Cargo.toml'), 'utf8').matchAll(/^members = \[([^\]]*)\]/gm)].flatMap(([, list]) => [...(list ?? '').matchAll(/"([^"]+)"/g)].map(([, one]) => one ?? ''));
  const folders = members.flatMap((member) => (member.endsWith('/*') ? readdirSync(join(TOP, member.slice(0, -2))).map((one) => member.replace('*', one)) : [member]));
  const manifests = folders.map((folder) => `${folder}/Cargo.toml`).filter((file) => existsSync(join(TOP, file)));
  assert.ok(manifests.length > 20);
  assert.deepEqual(manifests.filter((file) => !files.includes(file)), []);
  for (const file of ['tools/release-functions', 'tools/python-env', 'crates/queries/sql/tables/bars_daily.sql', 'data/calendar/nyse_exceptions_1990_2030.csv', 'localstack/server/src/main.rs']) {
    assert.ok(files.includes(file), file);
  }
  const other = files.filter((file) => /(^|\/)(target|node_modules|__pycache__|\.[^/]+)(\/|$)|^[^/]+\/[^/]+\/tests\/|^localstack\/(?!server)|\.ipynb$/.test(file));
  assert.deepEqual(other, []);
});

/** What Docker is given to make the image of. */
function imageContext(): string {
  const folder = mkdtempSync(join(tmpdir(), 'algotrading-image-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  for (const name of Object.keys(FUNCTIONS)) writeFileSync(join(folder, `${name}.zip`), name);
  const app = new App({ analyticsReporting: false, context: CONTEXT, outdir: join(folder, 'out') });
  new Local(new Stack(app, 'One'), folder);
  app.synth();
  const images: any = JSON.parse(readFileSync(join(folder, 'out', 'One.assets.json'), 'utf8')).dockerImages;
  const [image] = Object.values(images) as any[];
  return join(folder, 'out', image.source.directory);
}

test('programs that are brought along must be there, and the template takes no files along', () => {
  const folder = mkdtempSync(join(tmpdir(), 'algotrading-programs-'));
  const made = (one: (scope: Construct) => unknown) => one(new Stack(new App({ analyticsReporting: false }), 'One'));
  assert.throws(() => made((scope) => new Local(scope, folder)), /has no plan-session\.zip, .*; run tools\/release-functions first/);
  for (const name of Object.keys(FUNCTIONS)) writeFileSync(join(folder, `${name}.zip`), name);
  const app = new App({ analyticsReporting: false, context: CONTEXT, outdir: join(folder, 'out') });
  stacks(app, configuration('{}'), (scope) => new Local(scope, folder));
  app.synth();
  const files = JSON.parse(readFileSync(join(folder, 'out', 'Platform.assets.json'), 'utf8'));
  assert.equal(Object.keys(files.files).length, Object.keys(FUNCTIONS).length + 1, 'the zips and the template');
  assert.equal(Object.keys(files.dockerImages).length, 1);
  assert.throws(() => made((scope) => {
    const stack = new Stack(App.of(scope) as App, 'Alone', { synthesizer: new OneFile() });
    new Local(stack, folder).code('plan-session').bind(stack);
  }), /the template must stand alone/);
  rmSync(folder, { recursive: true });
});
