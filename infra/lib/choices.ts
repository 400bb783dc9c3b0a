/**
 * What a deployment may choose, in one table. The template makes a parameter of each choice, `cdk deploy` takes them
 * from a configuration; the resources ask the same questions of either and do not know which it was.
 */
import { CfnCondition, CfnParameter, CfnRule, Fn, Stack, Token, type ICfnConditionExpression, type ICfnRuleConditionExpression } from 'aws-cdk-lib';
import { Construct } from 'constructs';

export interface Choice {
  readonly default: string;
  readonly description: string;
  /** Every value there is; without it, any that fits the pattern. */
  readonly allowed?: readonly string[];
  readonly pattern?: string;
  /** What to write, in words, where the value does not fit. */
  readonly fits?: string;
  readonly group: string;
}

/** Where the programs are built from unless somebody says otherwise; set once the repository has a public address. */
const REPOSITORY = '';

export const CHOICES = {
  DataSetId: {
    group: 'Data', default: '', pattern: '^$|^[0-9A-Za-z]{30,40}$', fits: 'the id of a Data Exchange data set (30 to 40 letters and digits), or nothing',
    description: 'Data set in AWS Data Exchange whose revisions are taken in. Empty: nothing is scheduled until you give one.',
  },
  NotificationEmail: {
    group: 'Operation', default: '', pattern: '^$|^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$', fits: 'an e-mail address, or nothing',
    description: 'Who is told about each day, failures and alarms. AWS sends a message that must be confirmed.',
  },
  Schedule: {
    group: 'Operation', default: 'cron(30 18 ? * MON-FRI *)', pattern: '^cron\\([^ ]+( [^ ]+){5}\\)$', fits: 'a cron expression of EventBridge Scheduler',
    description: 'When the day is run, in the time of ScheduleTimezone. Holidays end by themselves.',
  },
  ScheduleTimezone: {
    group: 'Operation', default: 'America/New_York', pattern: '^[A-Za-z_]+(/[A-Za-z0-9_+-]+)*$', fits: 'a time zone such as America/New_York',
    description: 'Time zone of the exchange.',
  },
  MonthlyBudget: {
    group: 'Operation', default: '50', pattern: '^(0|[1-9][0-9]{0,5})$', fits: 'whole dollars; 0 for none',
    description: 'US dollars a month at which people are told; of the whole account. 0 for none.',
  },
  QuarantinePercent: {
    group: 'Operation', default: '5', pattern: '^[0-9]{1,2}$', fits: 'percent from 0 to 99',
    description: 'Percent of a day\'s rows that may be refused before an alarm is raised.',
  },
  Model: {
    group: 'Models', default: '', pattern: '^$|^[A-Za-z0-9_-]{1,64}$', fits: 'the name of a model in the lake, or nothing',
    description: 'Model that says each day\'s signals. Empty: none.',
  },
  Endpoint: {
    group: 'Models', default: 'none', allowed: ['none', 'serverless', 'real-time'],
    description: 'Who answers for the model: the function itself (none), or an endpoint of SageMaker.',
  },
  ModelImage: {
    group: 'Models', default: '', pattern: '^$|^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.com/[a-z0-9._/-]+(:[A-Za-z0-9._-]+|@sha256:[0-9a-f]{64})$',
    fits: 'the URI of the model container in ECR, with a tag or a digest, or nothing',
    description: 'Image of the model container (sagemaker/container, for linux/amd64) in ECR; an endpoint and training need it.',
  },
  ModelData: {
    group: 'Models', default: '', pattern: '^$|^s3://[^\\s/]+/[^\\s]+$', fits: 's3://bucket/path/model.tar.gz, or nothing',
    description: 'Trained model that the endpoint answers with.',
  },
  Notebook: {
    group: 'Models', default: 'false', allowed: ['true', 'false'],
    description: 'A SageMaker notebook instance with our notebooks; it stops by itself after an hour without use.',
  },
  Trading: {
    group: 'Trading', default: 'off', allowed: ['off', 'paper', 'alpaca', 'fix'],
    description: 'Programs that trade all day and cost by the hour (docs/cost.md): none (off), or with whom they trade.',
  },
  TradingStrategy: {
    group: 'Trading', default: '', pattern: '^$|^[A-Za-z0-9_-]{1,64}$', fits: 'the name of a run file in the lake without .toml, or nothing',
    description: 'Run file below strategies/ in the lake that is traded; any Trading needs it.',
  },
  MarketFeed: {
    group: 'Trading', default: 'replay', allowed: ['replay', 'alpaca'],
    description: 'Where prices come from: the lake\'s bars once more (replay, for Trading=paper only), or Alpaca.',
  },
  BrokerSecret: {
    group: 'Trading', default: '', pattern: '^$|^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+-[A-Za-z0-9]{6}$',
    fits: 'the whole ARN of a secret in Secrets Manager, with the six letters at its end, or nothing',
    description: 'Secret in Secrets Manager with the credentials for broker and prices. They are never given here.',
  },
  FixPort: {
    group: 'Trading', default: '0', pattern: '^(0|[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$', fits: 'a port from 1 to 65535; 0 for none',
    description: 'Port of the broker\'s FIX server, which the broker adapter may then reach; Trading=fix needs it. 0 for none.',
  },
  QuickSightPrincipalArn: {
    group: 'Analytics', default: '', pattern: '^$|^arn:aws[a-z-]*:quicksight:[^:]*:[^:]*:(user|group)/.+', fits: 'the ARN of a QuickSight user or group, or nothing',
    description: 'User or group of QuickSight that gets the dashboard. Empty: QuickSight is left alone.',
  },
  LakeFormationPrincipalArn: {
    group: 'Analytics', default: '', pattern: '^$|^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/.+', fits: 'the ARN of an IAM role or user, or nothing',
    description: 'Analyst to whom Lake Formation grants SELECT on the tables. Empty: access is by IAM alone.',
  },
  ScanLimit: {
    group: 'Analytics', default: '10737418240', pattern: '^[1-9][0-9]{7,13}$', fits: 'bytes, from 10000000',
    description: 'Bytes that one query of Athena may read.',
  },
  DatabaseName: {
    group: 'Analytics', default: 'algo_data', pattern: '^[a-z0-9_]{1,64}$', fits: 'small letters, digits and _',
    description: 'Database in the Glue catalogue.',
  },
  WorkGroup: {
    group: 'Analytics', default: 'MyWorkGroup', pattern: '^[A-Za-z0-9._-]{1,64}$', fits: 'letters, digits, . _ and -',
    description: 'Workgroup in Athena.',
  },
  PrivateNetwork: {
    group: 'Network', default: 'false', allowed: ['true', 'false'],
    description: 'Containers in private subnets that reach AWS by interface endpoints, for about 45 dollars a month (docs/cost.md).',
  },
  ArchiveDays: {
    group: 'Data', default: '2555', pattern: '^([1-9][0-9]{0,3}|[12][0-9]{4}|3[0-5][0-9]{3}|36[0-4][0-9]{2}|36500)$', fits: 'whole days from 1 to 36500',
    description: 'Days for which nobody can delete or change what is in the archive.',
  },
} as const satisfies Record<string, Choice>;

/** What is asked of some choices: each has one of the values, or any but its default. */
type Asked = Partial<Record<keyof typeof CHOICES, readonly string[] | 'given'>>;
const TRADES = ['paper', 'alpaca', 'fix'];

/** Choices that make no sense beside each other: where `when` holds, `must` has to. The template has them as rules. */
export const RULES: Record<string, { readonly when: Asked; readonly must: Asked; readonly says: string }> = {
  TradingHasStrategy: { when: { Trading: TRADES }, must: { TradingStrategy: 'given' }, says: 'With Trading give TradingStrategy too.' },
  BrokerHasSecret: { when: { Trading: ['alpaca', 'fix'] }, must: { BrokerSecret: 'given' }, says: 'With Trading=alpaca or fix give BrokerSecret too.' },
  FeedHasSecret: {
    when: { Trading: ['paper'], MarketFeed: ['alpaca'] }, must: { BrokerSecret: 'given' }, says: 'With MarketFeed=alpaca give BrokerSecret too.',
  },
  FixHasPort: { when: { Trading: ['fix'] }, must: { FixPort: 'given' }, says: 'With Trading=fix give FixPort too.' },
  BrokerHasPrices: {
    when: { Trading: ['alpaca', 'fix'] }, must: { MarketFeed: ['alpaca'] },
    says: 'Orders to a broker must not follow prices of the past; with Trading=alpaca or fix use MarketFeed=alpaca.',
  },
  PrivateTrading: {
    when: { Trading: TRADES, PrivateNetwork: ['true'] }, must: { Trading: ['paper'], MarketFeed: ['replay'] },
    says: 'A private network reaches neither a broker nor Alpaca\'s prices; with PrivateNetwork=true use Trading=paper and MarketFeed=replay.',
  },
};

/** Choices that only the template has: who deploys with the CDK brings the programs along. */
export const ARTIFACT_CHOICES = {
  ArtifactMode: {
    group: 'Programs', default: 'build', allowed: ['build', 'release'],
    description: 'Whether the programs are built in your account from SourceRepository (about 30 minutes), or taken from a release (about 3).',
  },
  SourceRepository: {
    group: 'Programs', default: REPOSITORY, pattern: '^$|^https://[^\\s]+$', fits: 'the https address of a git repository',
    description: 'Public git repository that is built.',
  },
  SourceRevision: {
    group: 'Programs', default: 'main', pattern: '^[0-9A-Za-z._/-]{1,128}$', fits: 'a branch, a tag or a commit',
    description: 'What is built of it. A branch is looked up once: give a commit or a tag to update.',
  },
  ReleaseUrl: {
    group: 'Programs', default: '', pattern: '^$|^https://[^\\s]+[^/]$', fits: 'the https address of a release without / at its end, or nothing',
    description: 'Where manifest.json and the zips of a release lie.',
  },
  ReleaseSha256: {
    group: 'Programs', default: '', pattern: '^$|^[0-9a-f]{64}$', fits: '64 hexadecimal digits, or nothing',
    description: 'SHA-256 of the release\'s manifest.json.',
  },
} as const satisfies Record<string, Choice>;

export type ChoiceName = keyof typeof CHOICES | keyof typeof ARTIFACT_CHOICES;

/** Whether something is made: known now, or by CloudFormation. */
export type Switch = boolean | CfnCondition;

export interface Choices {
  /** The value, or a reference to it. */
  value(name: ChoiceName): string;
  number(name: ChoiceName): number;
  is(name: ChoiceName, value: string): Switch;
  isNot(name: ChoiceName, value: string): Switch;
  given(name: ChoiceName): Switch;
  all(id: string, ...switches: Switch[]): Switch;
}

const table: Record<string, Choice> = { ...CHOICES, ...ARTIFACT_CHOICES };

/** What CloudFormation is to find true before it makes anything. */
function holds(asked: Asked): ICfnRuleConditionExpression {
  const one = ([name, values]: [string, readonly string[] | 'given']): ICfnRuleConditionExpression =>
    (values === 'given' ? Fn.conditionNot(Fn.conditionEquals(Fn.ref(name), table[name]?.default)) : Fn.conditionContains([...values], Fn.ref(name)));
  return Fn.conditionAnd(...Object.entries(asked).map(one));
}

/** A value as part of a logical id. */
function word(value: string): string {
  return value.split(/[^A-Za-z0-9]/).map((part) => part.charAt(0).toUpperCase() + part.slice(1)).join('');
}

/** Choices that are parameters of a template. */
export class Parameters implements Choices {
  private readonly parameters = new Map<string, CfnParameter>();
  private readonly conditions = new Map<string, CfnCondition>();

  constructor(private readonly scope: Construct, choices: Record<string, Choice>) {
    for (const [name, choice] of Object.entries(choices)) {
      const parameter = new CfnParameter(scope, name, { type: 'String', default: choice.default, description: choice.description });
      if (choice.allowed) parameter.allowedValues = [...choice.allowed];
      if (choice.pattern) parameter.allowedPattern = choice.pattern;
      if (choice.fits) parameter.constraintDescription = `must be ${choice.fits}`;
      this.parameters.set(name, parameter);
    }
    for (const [id, { when, must, says }] of Object.entries(RULES)) {
      new CfnRule(scope, id, { ruleCondition: holds(when), assertions: [{ assert: holds(must), assertDescription: says }] });
    }
    const groups = [...new Set(Object.values(choices).map((choice) => choice.group))].map((group) => ({
      Label: { default: group },
      Parameters: Object.keys(choices).filter((name) => choices[name]?.group === group),
    }));
    // How the console lays them out.
    Stack.of(scope).addMetadata('AWS::CloudFormation::Interface', { ParameterGroups: groups });
  }

  value(name: ChoiceName): string {
    const parameter = this.parameters.get(name);
    if (!parameter) throw new Error(`the template has no parameter ${name}`);
    return parameter.valueAsString;
  }

  number(name: ChoiceName): number {
    return Token.asNumber(Fn.ref(name));
  }

  is(name: ChoiceName, value: string): Switch {
    return this.condition(`${name}Is${word(value)}`, () => Fn.conditionEquals(this.value(name), value));
  }

  isNot(name: ChoiceName, value: string): Switch {
    const id = `${name}IsNot${word(value)}`;
    return this.condition(id, () => Fn.conditionNot(Fn.conditionEquals(this.value(name), value)));
  }

  given(name: ChoiceName): Switch {
    return this.condition(`${name}Given`, () => Fn.conditionNot(Fn.conditionEquals(this.value(name), '')));
  }

  all(id: string, ...switches: Switch[]): Switch {
    if (switches.includes(false)) return false;
    const open = switches.filter((one): one is CfnCondition => typeof one !== 'boolean');
    return open.length === 0 || this.condition(id, () => Fn.conditionAnd(...open));
  }

  private condition(id: string, expression: () => ICfnConditionExpression): CfnCondition {
    let found = this.conditions.get(id);
    if (!found) {
      found = new CfnCondition(this.scope, id, { expression: expression() });
      this.conditions.set(id, found);
    }
    return found;
  }
}

/** Choices that a configuration made. Whatever it does not name is as in the template. */
export class Configured implements Choices {
  private readonly values: Record<string, string>;

  /** Throws one sentence for the first key or value that is wrong, or for the first two that make no sense together. */
  constructor(given: unknown) {
    if (typeof given !== 'object' || given === null || Array.isArray(given)) {
      throw new Error('the configuration must be a JSON object of choices, such as {"DataSetId": "…"}');
    }
    this.values = Object.fromEntries(Object.entries(CHOICES).map(([name, choice]) => [name, choice.default]));
    for (const [name, value] of Object.entries(given)) {
      const choice: Choice | undefined = Object.hasOwn(CHOICES, name) ? table[name] : undefined;
      if (!choice) throw new Error(`there is no choice \`${name}\`; there are ${Object.keys(CHOICES).join(', ')}`);
      const text = typeof value === 'string' ? value : JSON.stringify(value);
      const fits = choice.allowed ? choice.allowed.includes(text) : new RegExp(choice.pattern ?? '').test(text);
      const wanted = choice.allowed ? `one of ${choice.allowed.join(', ')}` : choice.fits;
      if (!fits) throw new Error(`\`${name}\` must be ${wanted}; it is ${JSON.stringify(value)}`);
      this.values[name] = text;
    }
    const holds = (asked: Asked) => Object.entries(asked).every(([name, values]) =>
      (values === 'given' ? this.values[name] !== table[name]?.default : values.includes(this.values[name] ?? '')));
    for (const { when, must, says } of Object.values(RULES)) if (holds(when) && !holds(must)) throw new Error(says);
  }

  value(name: ChoiceName): string {
    return this.values[name] ?? '';
  }

  number(name: ChoiceName): number {
    return Number(this.value(name));
  }

  is(name: ChoiceName, value: string): boolean {
    return this.value(name) === value;
  }

  isNot(name: ChoiceName, value: string): boolean {
    return this.value(name) !== value;
  }

  given(name: ChoiceName): boolean {
    return this.value(name) !== '';
  }

  all(_id: string, ...switches: Switch[]): boolean {
    return switches.every((one) => one === true);
  }
}
