/** Where programs come from: built in the account, taken from a release, brought along, or already in a bucket. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CfnRule, CustomResource, Duration, Fn, IgnoreMode, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as codebuild from 'aws-cdk-lib/aws-codebuild';
import * as ecr from 'aws-cdk-lib/aws-ecr';
import * as assets from 'aws-cdk-lib/aws-ecr-assets';
import * as events from 'aws-cdk-lib/aws-events';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as s3 from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import type { Choices, Switch } from '../choices';
import { either, ifOn, optional } from '../optional';
import { TOP } from '../sql';
import { acknowledge, grant, ofThisAccount, writeLog } from './access';
import { closed, type Data } from './data';
import { Cleaner, Handler } from './handlers';

/** Programs that run as functions, with the seconds that each may take. */
export const FUNCTIONS = {
  'plan-session': 30, 'export-assets': 120, 'ingest-bars': 900, 'crawl-catalog': 120, 'run-query': 60,
  'score-signals': 300, 'launch-strategy': 60, 'watch-pnl': 120, 'report-run': 300,
} as const;
export type FunctionName = keyof typeof FUNCTIONS;

/** Programs of the containers' image that run once, for a session. */
export const CONTAINERS = ['strategy-runner', 'ingest-task'] as const;
export type ContainerName = (typeof CONTAINERS)[number];

/** Programs of the same image that are always on, with the processor (1024 is a whole one) and MiB that each has. */
export const SERVICES = {
  'market-data-adapter': { cpu: 256, memory: 512 }, 'broker-adapter': { cpu: 256, memory: 512 },
  'strategy-runner': { cpu: 512, memory: 1024 }, guardian: { cpu: 256, memory: 512 },
} as const;
export type ServiceName = keyof typeof SERVICES;

export interface Artifacts {
  code(name: FunctionName): lambda.Code;
  /** URI of the containers' image. */
  readonly image: string;
  /** Lets ECS fetch the image in the name of a role, which may be made by choice; the name of what has to be there first. */
  grantPull(role: iam.Role, id?: string, on?: Switch): string;
}

/** Programs that lie in a bucket: `<prefix>/<function>.zip`, and an image. */
export class Placed implements Artifacts {

  constructor(private readonly bucket: s3.IBucket, private readonly prefix: string, readonly image: string) {}

  code(name: FunctionName): lambda.Code {
    return lambda.Code.fromBucket(this.bucket, `${this.prefix}/${name}.zip`);
  }

  grantPull(): string {
    return '';
  }
}

/** Programs that `tools/release-functions` has left on this machine; `cdk deploy` uploads them. */
export class Local implements Artifacts {
  readonly image: string;
  private readonly asset: assets.DockerImageAsset;

  constructor(scope: Construct, private readonly folder = join(TOP, 'target', 'release-functions')) {
    const missing = Object.keys(FUNCTIONS).filter((name) => !existsSync(join(folder, `${name}.zip`)));
    if (missing.length > 0) {
      throw new Error(`${folder} has no ${missing.map((name) => `${name}.zip`).join(', ')}; run tools/release-functions first`);
    }
    this.asset = new assets.DockerImageAsset(scope, 'Containers', {
      directory: TOP, file: 'fargate/Dockerfile', platform: assets.Platform.LINUX_ARM64,
      exclude: outside(), ignoreMode: IgnoreMode.DOCKER,
    });
    this.image = this.asset.imageUri;
  }

  code(name: FunctionName): lambda.Code {
    return lambda.Code.fromAsset(join(this.folder, `${name}.zip`));
  }

  grantPull(role: iam.Role): string {
    // Into the role's own policy.
    this.asset.repository.grantPull(role);
    return '';
  }
}

/**
 * What the image is not made of, as Docker writes it. The image is called after the rest: where a document or a test were
 * part of it, each change of one would make a new image and start every container anew.
 */
function outside(): string[] {
  const dockerfile = readFileSync(join(TOP, 'fargate', 'Dockerfile'), 'utf8');
  const copied = [...dockerfile.matchAll(/^COPY (?!--)(.+) \S+$/gm)].flatMap(([, sources]) => (sources ?? '').split(' '));
  return [
    '*', ...copied.map((one) => `!${one}`),
    // Of its folder only the workspace's member is compiled.
    'localstack/*', '!localstack/server',
    '**/target', '**/node_modules', '**/.*', '**/__pycache__', '*/*/tests', 'benches/peers', 'sagemaker/notebooks',
  ];
}

const TOKEN = 'A token of ECR is for the account.';
/** CloudFormation waits an hour for an answer, and no longer. */
const BUILD_MINUTES = 50;
const QUEUE_MINUTES = 5;

/** Programs that the stack itself builds, or takes from a release: a custom resource says where they are. */
export class Fetched extends Construct implements Artifacts {
  readonly image: string;
  private readonly bucket: s3.Bucket;
  private readonly prefix: string;

  constructor(scope: Construct, id: string, private readonly name: string, private readonly choices: Choices, private readonly data: Data) {
    super(scope, id);
    this.bucket = new s3.Bucket(this, 'Bucket', {
      ...closed, ...data.encrypted(), serverAccessLogsPrefix: 'artifacts/', removalPolicy: RemovalPolicy.DESTROY,
      lifecycleRules: [{ abortIncompleteMultipartUploadAfter: Duration.days(1) }, { prefix: 'pending/', expiration: Duration.days(1) }],
    });
    Cleaner.clean(this.bucket, data.key);
    this.rules();
    const handler = new Handler(this, 'Fetch', 'artifacts', {
      key: data.key, description: 'Has the programs built, or takes them from a release', timeout: Duration.minutes(15), memory: 512,
      environment: { BUCKET: this.bucket.bucketName },
    });
    handler.allow(['s3:GetObject', 's3:PutObject', 's3:DeleteObject'], [this.bucket.arnForObjects('*')]);
    handler.allow(['s3:ListBucket'], [this.bucket.bucketArn]);
    handler.allow(['kms:GenerateDataKey', 'kms:Decrypt'], [data.key.keyArn]);
    const isBuild = choices.is('ArtifactMode', 'build');
    const built = optional(isBuild, this, 'Build', (node) => this.build(node, handler));
    const fetched = new CustomResource(this, 'Programs', {
      resourceType: 'Custom::Artifacts', serviceToken: handler.function.functionArn, serviceTimeout: Duration.hours(1),
      properties: {
        Mode: choices.value('ArtifactMode'),
        Bucket: this.bucket.bucketName,
        Functions: Object.keys(FUNCTIONS),
        Repository: choices.value('SourceRepository'),
        Revision: choices.value('SourceRevision'),
        ReleaseUrl: choices.value('ReleaseUrl'),
        ReleaseSha256: choices.value('ReleaseSha256'),
        Project: built ? ifOn(isBuild, built.project.ref) : undefined,
        // Named so that the handler is allowed to before it is asked to, and while a build is stopped.
        Policy: built ? ifOn(isBuild, (built.policy.node.defaultChild as iam.CfnPolicy).ref) : undefined,
        ImageRepository: built ? ifOn(isBuild, built.repository.attrRepositoryUri) : undefined,
      },
    });
    fetched.node.addDependency(handler.role);
    this.prefix = fetched.getAttString('Prefix');
    this.image = fetched.getAttString('Image');
  }

  code(name: FunctionName): lambda.Code {
    return lambda.Code.fromBucket(this.bucket, `${this.prefix}/${name}.zip`);
  }

  grantPull(role: iam.Role, id = 'Pull', on: Switch = true): string {
    const isBuild = this.choices.is('ArtifactMode', 'build');
    const may = on === true ? isBuild : this.choices.all(`${id}AndBuild`, isBuild, on);
    const made = optional(may, this, id, (node) => {
      const policy = new iam.Policy(node, 'Policy', { roles: [role] });
      grant(policy, ['ecr:GetAuthorizationToken'], ['*'], { why: TOKEN });
      grant(policy, ['ecr:BatchCheckLayerAvailability', 'ecr:GetDownloadUrlForLayer', 'ecr:BatchGetImage'],
        [(this.node.findChild('Build').node.findChild('Repository') as ecr.CfnRepository).attrArn]);
      return policy.node.defaultChild as iam.CfnPolicy;
    });
    return made ? either(may, made.ref, '') : '';
  }

  /** Says at once, and not after half an hour, what a mode needs. */
  private rules() {
    const needs = { build: ['SourceRepository'], release: ['ReleaseUrl', 'ReleaseSha256'] } as const;
    for (const [mode, names] of Object.entries(needs)) {
      new CfnRule(Stack.of(this), `${mode === 'build' ? 'Source' : 'Release'}IsNamed`, {
        ruleCondition: Fn.conditionEquals(this.choices.value('ArtifactMode'), mode),
        assertions: names.map((name) => ({
          assert: Fn.conditionNot(Fn.conditionEquals(this.choices.value(name), '')),
          assertDescription: `With ArtifactMode=${mode} give ${name} too.`,
        })),
      });
    }
    new CfnRule(Stack.of(this), 'PrivateImages', {
      ruleCondition: Fn.conditionEquals(this.choices.value('PrivateNetwork'), 'true'),
      assertions: [{
        assert: Fn.conditionEquals(this.choices.value('ArtifactMode'), 'build'),
        assertDescription: 'A private network cannot reach the image of a release; use ArtifactMode=build with PrivateNetwork=true.',
      }],
    });
  }

  private build(node: Construct, handler: Handler) {
    const { data, name, bucket } = this;
    const repository = new ecr.CfnRepository(node, 'Repository', {
      emptyOnDelete: true, imageTagMutability: 'IMMUTABLE', imageScanningConfiguration: { scanOnPush: true },
      encryptionConfiguration: { encryptionType: 'KMS', kmsKey: data.key.keyArn },
    });
    const group = new logs.LogGroup(node, 'Log', {
      encryptionKey: data.key, retention: logs.RetentionDays.ONE_MONTH, removalPolicy: RemovalPolicy.DESTROY,
    });
    const role = new iam.Role(node, 'Role', {
      assumedBy: ofThisAccount('codebuild.amazonaws.com'), description: 'Builds the programs',
    });
    const project = new codebuild.CfnProject(node, 'Project', {
      description: `${name}: builds the functions and the containers' image`,
      serviceRole: role.roleArn,
      encryptionKey: data.key.keyArn,
      timeoutInMinutes: BUILD_MINUTES,
      queuedTimeoutInMinutes: QUEUE_MINUTES,
      artifacts: { type: 'NO_ARTIFACTS' },
      source: { type: 'NO_SOURCE', buildSpec: readFileSync(join(TOP, 'infra', 'buildspec.yml'), 'utf8') },
      environment: {
        type: 'ARM_CONTAINER', computeType: 'BUILD_GENERAL1_LARGE', image: 'aws/codebuild/amazonlinux-aarch64-standard:3.0',
        privilegedMode: true,
        environmentVariables: [
          { name: 'BUCKET', value: bucket.bucketName },
          { name: 'IMAGE_REPOSITORY', value: repository.attrRepositoryUri },
          { name: 'REPOSITORY', value: this.choices.value('SourceRepository') },
        ],
      },
      logsConfig: { cloudWatchLogs: { status: 'ENABLED', groupName: group.logGroupName } },
    });
    acknowledge(project, 'AwsSolutions-CB3', 'An image is made by docker, and docker needs it.');
    writeLog(role, group);
    grant(role, ['s3:PutObject', 's3:AbortMultipartUpload'], [bucket.arnForObjects('build/*')],
      { why: 'What is built lies below the commit, which has no name beforehand.' });
    grant(role, ['kms:GenerateDataKey', 'kms:Decrypt'], [data.key.keyArn]);
    grant(role, ['ecr:GetAuthorizationToken'], ['*'], { why: TOKEN });
    grant(role, [
      'ecr:BatchCheckLayerAvailability', 'ecr:InitiateLayerUpload', 'ecr:UploadLayerPart', 'ecr:CompleteLayerUpload',
      'ecr:PutImage', 'ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer',
    ], [repository.attrArn]);
    const policy = new iam.Policy(node, 'FetchPolicy', { roles: [handler.role] });
    grant(policy, ['codebuild:StartBuild', 'codebuild:StopBuild', 'codebuild:BatchGetBuilds'], [project.attrArn]);
    grant(policy, ['ecr:DescribeImages'], [repository.attrArn]);
    const rule = new events.CfnRule(node, 'Ended', {
      description: 'A build has ended: CloudFormation is answered',
      eventPattern: {
        source: ['aws.codebuild'], 'detail-type': ['CodeBuild Build State Change'],
        detail: { 'project-name': [project.ref], 'build-status': ['SUCCEEDED', 'FAILED', 'STOPPED', 'TIMED_OUT', 'FAULT'] },
      },
      targets: [{ id: 'answer', arn: handler.function.functionArn }],
    });
    // Events of builds may be lost; a stack would wait an hour for one.
    const look = new events.CfnRule(node, 'Look', {
      description: 'Builds whose end nobody told', scheduleExpression: 'rate(10 minutes)',
      targets: [{ id: 'answer', arn: handler.function.functionArn }],
    });
    for (const [id, one] of [['Permission', rule], ['LookPermission', look]] as const) {
      new lambda.CfnPermission(node, id, {
        action: 'lambda:InvokeFunction', functionName: handler.function.functionName, principal: 'events.amazonaws.com', sourceArn: one.attrArn,
      });
    }
    project.node.addDependency(role);
    return { project, repository, policy };
  }
}
