/** Programs that are always on: what the choice makes, what it needs, and that what is off is not there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Choice, CHOICES, Configured, RULES } from '../lib/choices';
import { SERVICES } from '../lib/resources/artifacts';
import { EVERYTHING, one, several, type Given, type Resource } from './support';

const SECRET = EVERYTHING.BrokerSecret ?? '';
const PAPER: Given = { Trading: 'paper', TradingStrategy: 'sma' };
const ALPACA: Given = { Trading: 'alpaca', TradingStrategy: 'sma', MarketFeed: 'alpaca', BrokerSecret: SECRET };
const FIX: Given = { ...ALPACA, Trading: 'fix', FixPort: '9876' };
const PROGRAMS = Object.keys(SERVICES);

type Resources = Record<string, Resource>;
const platform = (given: Given = {}): Resources => several(given)['Platform']?.Resources ?? {};
const of = (resources: Resources, type: string) => Object.entries(resources).filter(([, resource]) => resource.Type === type);
const text = (value: unknown) => JSON.stringify(value);
/** How many there are of each type. */
function count(resources: Resources): Map<string, number> {
  const found = new Map<string, number>();
  for (const { Type } of Object.values(resources)) found.set(Type, (found.get(Type) ?? 0) + 1);
  return found;
}
/** What a choice adds. */
function added(given: Given, to: Given = {}): Record<string, number> {
  const [before, after] = [count(platform(to)), count(platform(given))];
  return Object.fromEntries([...after].map(([type, n]) => [type, n - (before.get(type) ?? 0)] as const).filter(([, n]) => n !== 0).sort());
}
/** Environment by program. */
function told(given: Given): Record<string, Record<string, any>> {
  return Object.fromEntries(of(platform(given), 'AWS::ECS::TaskDefinition').filter(([id]) => id.startsWith('LivePrograms')).map(([, task]) => {
    const [container] = task.Properties['ContainerDefinitions'];
    return [container.Name, Object.fromEntries(container.Environment.map(({ Name, Value }: any) => [Name, Value]))];
  }));
}

test('nothing trades unless somebody says so, and a choice that is off makes nothing', () => {
  assert.equal(CHOICES.Trading.default, 'off');
  assert.deepEqual(added({ TradingStrategy: 'sma', MarketFeed: 'alpaca', BrokerSecret: SECRET, FixPort: '9876' }), {});
  assert.deepEqual(several({ TradingStrategy: 'sma' })['Operations'], several()['Operations']);
  // In the template each has the condition, or one that has it.
  const { template } = one();
  const conditions = new Map(Object.entries(template.Conditions).map(([id, condition]) => [id, text(condition)]));
  for (const [id, { Condition }] of Object.entries(template.Resources)) {
    if (!/^Live|^OperationsLive|^NetworkTrading|^NetworkSecret|^ArtifactsPullForTrading/.test(id)) continue;
    let told = conditions.get(Condition ?? '') ?? '';
    while (told.includes('{"Condition"')) told = told.replaceAll(/\{"Condition":"(\w+)"\}/g, (_, name: string) => conditions.get(name) ?? assert.fail(name));
    assert.match(told, /\{"Ref":"Trading"\},"(off|fix)"/, id);
  }
  assert.deepEqual(template.Conditions['TradingIsNotOff'], { 'Fn::Not': [{ 'Fn::Equals': [{ Ref: 'Trading' }, 'off'] }] });
});

test('a choice that is on makes four programs and what is between them', () => {
  const paper = {
    // Each program's, and the one that starts them all.
    'AWS::IAM::Role': 5, 'AWS::IAM::Policy': 5, 'AWS::Logs::LogGroup': 4, 'AWS::ECS::TaskDefinition': 4, 'AWS::ECS::Service': 4,
    'AWS::Kinesis::Stream': 1, 'AWS::SQS::Queue': 4, 'AWS::SQS::QueuePolicy': 4,
  };
  const sorted = (made: object) => Object.fromEntries(Object.entries(made).sort());
  assert.deepEqual(added(PAPER), sorted(paper));
  assert.deepEqual(added(ALPACA), sorted({ ...paper, 'AWS::IAM::Policy': 6 }));
  assert.deepEqual(added(FIX), sorted({ ...paper, 'AWS::IAM::Policy': 6, 'AWS::EC2::SecurityGroup': 1 }));
  const alarms = (given: Given) => of(several(given)['Operations']?.Resources ?? {}, 'AWS::CloudWatch::Alarm').length;
  assert.equal(alarms(PAPER) - alarms({}), 6);
});

test('the environment of each program', () => {
  const all = ['LAKE', 'METRICS_NAMESPACE', 'RECORDS_TABLE', 'STRATEGY'];
  const names = (given: Given) => Object.fromEntries(Object.entries(told(given)).map(([program, variables]) =>
    [program, Object.keys(variables).filter((name) => !all.includes(name)).sort()]));
  assert.deepEqual(names(FIX), {
    'market-data-adapter': ['BROKER_SECRET', 'FEED', 'MARKET_STREAM'],
    'broker-adapter': ['BROKER', 'BROKER_SECRET', 'EXECUTIONS_QUEUE_URL', 'JOURNAL_TABLE', 'MARKET_STREAM', 'ORDERS_QUEUE_URL'],
    'strategy-runner': ['ARCHIVE', 'EXECUTIONS_QUEUE_URL', 'JOURNAL_TABLE', 'MARKET_STREAM', 'MODE', 'ORDERS_QUEUE_URL'],
    guardian: ['JOURNAL_TABLE', 'ORDERS_QUEUE_URL', 'TOPIC_ARN'],
  });
  for (const [given, broker, feed] of [[PAPER, 'paper', 'replay'], [ALPACA, 'alpaca', 'alpaca'], [FIX, 'fix', 'alpaca']] as const) {
    const variables = told(given);
    assert.equal(variables['broker-adapter']?.['BROKER'], broker);
    assert.equal(variables['market-data-adapter']?.['FEED'], feed);
    for (const program of PROGRAMS) {
      assert.equal(variables[program]?.['STRATEGY'], 'sma', program);
      for (const name of all) assert.ok(variables[program]?.[name], `${program} is not told ${name}`);
    }
    // Who is told of orders is told of the same ones.
    assert.equal(new Set(Object.values(variables).map((one) => text(one['ORDERS_QUEUE_URL'] ?? 'none'))).size, 2);
    assert.match(text(variables['strategy-runner']?.['ARCHIVE']), /"s3:\/\/",.*Archive.*,"\/journal"/);
    assert.equal(variables['strategy-runner']?.['MODE'], 'live');
  }
});

test('one of each, never two, and a version that does not start is taken back', () => {
  for (const [id, { Properties: service, DependsOn: after = [] }] of of(platform(PAPER), 'AWS::ECS::Service')) {
    assert.equal(service['DesiredCount'], 1, id);
    assert.deepEqual(service['DeploymentConfiguration'],
      { DeploymentCircuitBreaker: { Enable: true, Rollback: true }, MaximumPercent: 100, MinimumHealthyPercent: 0 }, id);
    assert.equal(service['AvailabilityZoneRebalancing'], 'DISABLED', id);
    assert.equal(service['NetworkConfiguration'].AwsvpcConfiguration.AssignPublicIp, 'ENABLED', id);
    assert.equal(service['LoadBalancers'], undefined, id);
    // It may do what it does before it begins.
    const program = /Service(\w+?)[0-9A-F]{8}$/.exec(id)?.[1] ?? '';
    assert.ok([after].flat().some((one) => one.startsWith(`LiveRoles${program}DefaultPolicy`)), id);
    assert.ok([after].flat().some((one) => one.startsWith('LiveStartExecutionRoleDefaultPolicy')), id);
  }
  const { template } = one();
  for (const [id, service] of of(template.Resources, 'AWS::ECS::Service')) {
    const waits = text((service as any).Metadata.WaitsFor);
    for (const name of ['NetworkPrivateInterfaceecrapi', 'NetworkTradingInterfacesqs', 'NetworkSecretInterface', 'ArtifactsPullForTrading', 'LiveSecretPolicy']) {
      assert.match(waits, new RegExp(`"Fn::If":\\["\\w+",\\{"Ref":"${name}\\w*"\\},""\\]`), `${id} waits for ${name}`);
    }
    // CloudFormation refuses a `DependsOn` of what may not be there.
    for (const one of [service.DependsOn ?? []].flat()) assert.ok([undefined, 'TradingIsNotOff'].includes(template.Resources[one]?.Condition), `${id}: ${one}`);
  }
});

test('the container of the day and the one that is always on are two definitions, and the day may start only its own', () => {
  const families = of(platform(PAPER), 'AWS::ECS::TaskDefinition').map(([, task]) => task.Properties['Family']).sort();
  assert.deepEqual(families, ['fund-ingest-task', ...PROGRAMS.map((program) => `fund-live-${program}`), 'fund-strategy-runner'].sort());
  const launch = Object.entries(platform(PAPER)).find(([id, made]) => id.startsWith('IngestRolelaunchstrategyDefaultPolicy') && made.Type === 'AWS::IAM::Policy');
  assert.doesNotMatch(text(launch?.[1].Properties), /live/i);
});

test('nothing calls them; they call by HTTPS, and the broker adapter alone the one port of FIX', () => {
  const made = platform(FIX);
  const groups = new Map(of(made, 'AWS::EC2::SecurityGroup').map(([id, group]) => [id, group.Properties]));
  const services = of(made, 'AWS::ECS::Service');
  assert.equal(services.length, 4);
  for (const [id, service] of services) {
    const mine = service.Properties['NetworkConfiguration'].AwsvpcConfiguration.SecurityGroups.map((one: any) => groups.get(one['Fn::GetAtt'][0]));
    assert.ok(mine.every((group: any) => group && !group.SecurityGroupIngress), id);
    const ports = mine.flatMap((group: any) => group.SecurityGroupEgress.map((rule: any) => `${rule.IpProtocol} ${rule.FromPort}-${rule.ToPort}`));
    assert.deepEqual(ports, id.includes('brokeradapter') ? ['tcp 443-443', 'tcp 9876-9876'] : ['tcp 443-443'], id);
  }
  assert.equal(of(made, 'AWS::EC2::SecurityGroupIngress').length, 0);
});

test('two programs may read the one secret, by whatever key, and no other program a secret', () => {
  const policies = of(platform(ALPACA), 'AWS::IAM::Policy').filter(([, policy]) => text(policy.Properties['PolicyDocument']).includes('secretsmanager'));
  assert.equal(policies.length, 1);
  const [[, { Properties: policy }]] = policies as [[string, Resource]];
  assert.deepEqual(policy['Roles'].map((role: any) => role.Ref.replace(/[0-9A-F]{8}$/, '')).sort(), ['LiveRolesbrokeradapter', 'LiveRolesmarketdataadapter']);
  const [read, decrypt] = policy['PolicyDocument'].Statement;
  assert.deepEqual([read.Action, read.Resource], ['secretsmanager:GetSecretValue', SECRET]);
  assert.equal(decrypt.Action, 'kms:Decrypt');
  assert.equal(decrypt.Condition.StringEquals['kms:EncryptionContext:SecretARN'], SECRET);
  assert.match(text(decrypt.Condition.StringEquals['kms:ViaService']), /secretsmanager\./);
  assert.doesNotMatch(text(platform(PAPER)), /secretsmanager/);
});

test('queues keep their order, are read once, and what fails five times steps aside', () => {
  const queues = of(platform(PAPER), 'AWS::SQS::Queue').map(([, queue]) => queue.Properties).filter((queue) => queue['QueueName'].startsWith('fund-'));
  const aside = new Map(of(platform(PAPER), 'AWS::SQS::Queue').map(([id, queue]) => [id, queue.Properties['QueueName']]));
  const shape = Object.fromEntries(queues.map((queue) => {
    assert.equal(queue['FifoQueue'], true);
    const dead = queue['RedrivePolicy'];
    return [queue['QueueName'], [queue['MessageRetentionPeriod'], dead && [aside.get(dead.deadLetterTargetArn['Fn::GetAtt'][0]), dead.maxReceiveCount]]];
  }));
  assert.deepEqual(shape, {
    'fund-orders.fifo': [86_400, ['fund-orders-undelivered.fifo', 5]], 'fund-orders-undelivered.fifo': [1_209_600, undefined],
    'fund-executions.fifo': [1_209_600, ['fund-executions-undelivered.fifo', 5]], 'fund-executions-undelivered.fifo': [1_209_600, undefined],
  });
  const [[, { Properties: stream }]] = of(platform(PAPER), 'AWS::Kinesis::Stream') as [[string, Resource]];
  assert.deepEqual([stream['Name'], stream['ShardCount'], stream['StreamModeDetails'].StreamMode], ['fund-market', 1, 'PROVISIONED']);
});

test('choices that make no sense together are refused in a sentence, by the configuration and by the template', () => {
  const cases: [Given, string][] = [
    [{ Trading: 'paper' }, 'With Trading give TradingStrategy too.'],
    [{ ...ALPACA, BrokerSecret: '' }, 'With Trading=alpaca or fix give BrokerSecret too.'],
    [{ ...PAPER, MarketFeed: 'alpaca' }, 'With MarketFeed=alpaca give BrokerSecret too.'],
    [{ ...FIX, FixPort: '0' }, 'With Trading=fix give FixPort too.'],
    [{ ...ALPACA, MarketFeed: 'replay' }, 'Orders to a broker must not follow prices of the past; with Trading=alpaca or fix use MarketFeed=alpaca.'],
    [{ ...FIX, PrivateNetwork: 'true' }, RULES['PrivateTrading']?.says ?? ''],
    [{ ...PAPER, MarketFeed: 'alpaca', BrokerSecret: SECRET, PrivateNetwork: 'true' }, RULES['PrivateTrading']?.says ?? ''],
  ];
  for (const [given, says] of cases) {
    assert.throws(() => new Configured(given), { message: says });
    assert.deepEqual(refusals(given), [says], text(given));
  }
  for (const given of [{}, PAPER, ALPACA, FIX, { ...PAPER, PrivateNetwork: 'true' }, { ...FIX, Trading: 'off', PrivateNetwork: 'true' }]) {
    new Configured(given);
    assert.deepEqual(refusals(given), [], text(given));
  }
  assert.deepEqual(new Set(cases.map(([, says]) => says)), new Set(Object.values(RULES).map(({ says }) => says)));
});

/** What the template's rules say to parameters, as CloudFormation reads them. */
function refusals(given: Given): string[] {
  const choices: Record<string, Choice> = CHOICES;
  const value = (of: any): any => (of?.Ref ? given[of.Ref as keyof Given] ?? choices[of.Ref]?.default : of);
  const holds = (expression: any): boolean => {
    const [[name, of]] = Object.entries(expression) as [[string, any[]]];
    if (name === 'Fn::And') return of.every(holds);
    if (name === 'Fn::Not') return !holds(of[0]);
    if (name === 'Fn::Equals') return value(of[0]) === value(of[1]);
    if (name === 'Fn::Contains') return of[0].includes(value(of[1]));
    throw new Error(`${name} is not among the functions of rules that are used here`);
  };
  const rules: [string, any][] = Object.entries((one().template as any).Rules);
  return rules.filter(([id, rule]) => id in RULES && holds(rule.RuleCondition))
    .flatMap(([, rule]) => rule.Assertions.filter((one: any) => !holds(one.Assert)).map((one: any) => one.AssertDescription));
}
