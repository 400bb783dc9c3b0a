/** SageMaker: a notebook instance, an endpoint that answers for a model, its package, and training by Step Functions. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ArnFormat, Aws, CfnRule, Fn, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as sagemaker from 'aws-cdk-lib/aws-sagemaker';
import type * as sns from 'aws-cdk-lib/aws-sns';
import * as sfn from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import type { ChoiceName, Choices, Switch } from '../choices';
import { either, optional } from '../optional';
import { TOP } from '../sql';
import { acknowledge, grant, ofThisAccount, readLake, traced, writeLog } from './access';
import { query, stackWord } from './analytics';
import type { Catalog } from './catalog';
import type { Data } from './data';
import { machine } from './operations';

export interface MlProps {
  readonly name: string;
  readonly choices: Choices;
  readonly data: Data;
  readonly catalog: Catalog;
  readonly topic: sns.ITopic;
}

/** What the notebook instance has from us, as it lies in the repository. */
export const NOTEBOOK_FILES = ['lake.py', '01-bars.ipynb', '02-runs.ipynb'];
/** Letters that SageMaker takes of a script, encoded. */
export const SCRIPT_MAX = 16_384;
/** The container is made for both architectures; serverless endpoints have only this one. */
const INSTANCE = 'ml.m5.large';
const CONTENT = ['text/csv', 'application/json', 'application/jsonlines'];

export class Ml extends Construct {
  /** Endpoint that answers for the model; empty where there is none. */
  readonly endpointName: string;

  constructor(scope: Construct, id: string, private readonly props: MlProps) {
    super(scope, id);
    const { choices, name } = props;
    const model = choices.all('ModelGiven', choices.given('ModelImage'), choices.given('ModelData'));
    const endpoint = choices.all('EndpointMade', choices.isNot('Endpoint', 'none'), model);
    this.endpointName = either(endpoint, `${name}-endpoint`, '');
    this.rule();
    optional(choices.is('Notebook', 'true'), this, 'Notebook', (node) => this.notebook(node));
    const role = optional(endpoint, this, 'Model', (node) => this.modelRole(node));
    if (role) this.endpoint(endpoint, model, role);
    optional(model, this, 'Registered', (node) => this.registered(node));
    optional(choices.given('ModelImage'), this, 'Training', (node) => this.training(node));
  }

  /** Says at once that an endpoint needs an image and a model, rather than to make none in silence. */
  private rule() {
    const { choices } = this.props;
    const needed: ChoiceName[] = ['ModelImage', 'ModelData'];
    const asked = choices.isNot('Endpoint', 'none');
    const says = (one: string) => `With an Endpoint give ${one} too.`;
    if (typeof asked === 'boolean') {
      const missing = needed.find((one) => choices.given(one) === false);
      if (asked && missing) throw new Error(says(missing));
      return;
    }
    new CfnRule(Stack.of(this), 'EndpointHasModel', {
      ruleCondition: Fn.conditionNot(Fn.conditionEquals(choices.value('Endpoint'), 'none')),
      assertions: needed.map((one) => ({
        assert: Fn.conditionNot(Fn.conditionEquals(choices.value(one), '')), assertDescription: says(one),
      })),
    });
  }

  private role(node: Construct, description: string): iam.Role {
    return new iam.Role(node, 'Role', {
      assumedBy: ofThisAccount('sagemaker.amazonaws.com'),
      description,
    });
  }

  private notebook(node: Construct) {
    const { name, data, catalog } = this.props;
    const called = `${name}-notebook`;
    const role = this.role(node, 'The notebook instance');
    query(role, data, catalog);
    readLake(role, data, ['lake', 'notebooks']);
    grant(role, ['sagemaker:StopNotebookInstance'],
      [Stack.of(this).formatArn({ service: 'sagemaker', resource: 'notebook-instance', resourceName: called })]);
    // SageMaker has one log group for the notebooks of an account; the streams of this one begin with its name.
    const group = { service: 'logs', resource: 'log-group', arnFormat: ArnFormat.COLON_RESOURCE_NAME };
    const logged = (resourceName: string) => Stack.of(this).formatArn({ ...group, resourceName });
    grant(role, ['logs:CreateLogGroup', 'logs:DescribeLogStreams'], [logged('/aws/sagemaker/NotebookInstances')]);
    grant(role, ['logs:CreateLogStream', 'logs:PutLogEvents'], [logged(`/aws/sagemaker/NotebookInstances:log-stream:${called}/*`)],
      { why: 'Streams of the one instance.' });
    const scripts = new sagemaker.CfnNotebookInstanceLifecycleConfig(node, 'Scripts', {
      onCreate: [{ content: Fn.base64(created()) }],
      onStart: [{ content: Fn.base64(this.started()) }],
    });
    const instance = new sagemaker.CfnNotebookInstance(node, 'Instance', {
      notebookInstanceName: called, instanceType: 'ml.t3.medium', volumeSizeInGb: 10, roleArn: role.roleArn, kmsKeyId: data.key.keyArn,
      platformIdentifier: 'notebook-al2023-v1', rootAccess: 'Disabled', directInternetAccess: 'Enabled',
      instanceMetadataServiceConfiguration: { minimumInstanceMetadataServiceVersion: '2' },
      lifecycleConfigName: scripts.attrNotebookInstanceLifecycleConfigName,
    });
    instance.node.addDependency(role);
    const outside = 'An analyst installs Python packages, and the VPC has no way to a package index, nor endpoints for Athena and SageMaker. ' +
      'What the instance may do is bounded by its role: it reads the lake, and writes nothing but results of queries.';
    acknowledge(instance, 'AwsSolutions-SM1', outside);
    acknowledge(instance, 'AwsSolutions-SM3', outside);
  }

  /** At each start: the names that the notebooks ask for, what a person has put into the lake's bucket, and the timer. */
  private started(): string {
    const { data, catalog } = this.props;
    const settings = Stack.of(this).toJsonString({
      region: Aws.REGION, database: catalog.database, workgroup: catalog.workgroup, lake: data.lakeUrl,
    });
    return [
      '#!/bin/bash',
      'set -eu',
      `cd ${FOLDER}`,
      file('settings.json', settings),
      // Whatever people share. None there, or none to be had, is no reason not to start.
      `aws s3 sync --region ${Aws.REGION} s3://${data.lake.bucketName}/notebooks/ shared || echo 'no notebooks in the lake'`,
      'chown -R ec2-user:ec2-user .',
      file('/usr/local/bin/algotrading-idle.py', source('idle.py')),
      file('/etc/systemd/system/algotrading-idle.service', unit('Stops the notebook instance when it is idle', 'Service', [
        'Type=oneshot', 'ExecStart=/usr/bin/python3 /usr/local/bin/algotrading-idle.py',
      ])),
      file('/etc/systemd/system/algotrading-idle.timer', unit('Asks whether the notebook instance is idle', 'Timer', [
        'OnActiveSec=5min', 'OnUnitActiveSec=5min',
      ])),
      'systemctl daemon-reload',
      'systemctl restart algotrading-idle.timer',
      '',
    ].join('\n');
  }

  /** Lets a role fetch the model's image, and write what SageMaker says of it. */
  private running(role: iam.Role, group: string, namespace: string) {
    const { choices } = this.props;
    grant(role, ['ecr:GetAuthorizationToken'], ['*'], { why: 'A token of ECR is for the account.' });
    grant(role, ['ecr:BatchCheckLayerAvailability', 'ecr:GetDownloadUrlForLayer', 'ecr:BatchGetImage'], [repository(choices.value('ModelImage'))]);
    grant(role, ['cloudwatch:PutMetricData'], ['*'],
      { why: 'Figures have no ARN; the namespace is SageMaker\'s.', conditions: { StringEquals: { 'cloudwatch:namespace': namespace } } });
    const arn = Stack.of(this).formatArn({ service: 'logs', resource: 'log-group', resourceName: group, arnFormat: ArnFormat.COLON_RESOURCE_NAME });
    grant(role, ['logs:CreateLogGroup', 'logs:DescribeLogStreams'], [arn]);
  }

  private modelRole(node: Construct): iam.Role {
    const { name, choices, data } = this.props;
    const group = new logs.LogGroup(node, 'Log', {
      logGroupName: `/aws/sagemaker/Endpoints/${name}-endpoint`, encryptionKey: data.key,
      retention: logs.RetentionDays.THREE_MONTHS, removalPolicy: RemovalPolicy.DESTROY,
    });
    const role = this.role(node, 'The container that answers for the model');
    this.running(role, `/aws/sagemaker/Endpoints/${name}-endpoint`, '/aws/sagemaker/Endpoints');
    writeLog(role, group);
    grant(role, ['s3:GetObject'], [object(choices.value('ModelData'))]);
    // Where the model lies in the lake's bucket, as a training leaves it.
    grant(role, ['kms:Decrypt'], [data.key.keyArn]);
    return role;
  }

  private endpoint(on: Switch, model: Switch, role: iam.Role) {
    const { name, choices, data } = this.props;
    const kinds = {
      serverless: choices.all('EndpointServerless', choices.is('Endpoint', 'serverless'), model),
      instance: choices.all('EndpointRealTime', choices.is('Endpoint', 'real-time'), model),
    };
    // A serverless endpoint has neither network isolation nor a volume that could have a key.
    const made = (id: string, kind: Switch, isolated: boolean, variant: object, more: object) => optional(kind, this, id, (node) => {
      const one = new sagemaker.CfnModel(node, 'Model', {
        executionRoleArn: role.roleArn, enableNetworkIsolation: isolated,
        primaryContainer: { image: choices.value('ModelImage'), modelDataUrl: choices.value('ModelData') },
      });
      one.node.addDependency(role);
      return new sagemaker.CfnEndpointConfig(node, 'Config', {
        productionVariants: [{ modelName: one.attrModelName, variantName: 'only', initialVariantWeight: 1, ...variant }], ...more,
      });
    });
    const serverless = made('Serverless', kinds.serverless, false, { serverlessConfig: { memorySizeInMb: 1024, maxConcurrency: 5 } }, {});
    const instance = made('RealTime', kinds.instance, true, { instanceType: INSTANCE, initialInstanceCount: 1 }, { kmsKeyId: data.key.keyArn });
    const config = (one: sagemaker.CfnEndpointConfig | undefined) => one?.attrEndpointConfigName ?? '';
    optional(on, this, 'Endpoint', (node) => new sagemaker.CfnEndpoint(node, 'Endpoint', {
      endpointName: `${name}-endpoint`, endpointConfigName: either(kinds.serverless, config(serverless), config(instance)),
    }));
  }

  /** The model in SageMaker's registry; it waits there for a person who approves it. */
  private registered(node: Construct) {
    const { name, choices } = this.props;
    const group = new sagemaker.CfnModelPackageGroup(node, 'Group', {
      modelPackageGroupName: `${name}-models`, modelPackageGroupDescription: `${name}: models of the container`,
    });
    new sagemaker.CfnModelPackage(node, 'Package', {
      modelPackageGroupName: group.ref, modelPackageDescription: 'A model as sagemaker/container trains and serves it',
      modelApprovalStatus: 'PendingManualApproval',
      inferenceSpecification: {
        containers: [{ image: choices.value('ModelImage'), modelDataUrl: choices.value('ModelData') }],
        supportedContentTypes: CONTENT, supportedResponseMimeTypes: CONTENT,
        supportedRealtimeInferenceInstanceTypes: [INSTANCE], supportedTransformInstanceTypes: [INSTANCE],
      },
    });
  }

  private training(node: Construct) {
    const { name, choices, data, topic } = this.props;
    const stack = Stack.of(this);
    const output = `${data.lake.bucketName}/training`;
    const job = this.role(new Construct(node, 'Job'), 'A training');
    const group = '/aws/sagemaker/TrainingJobs';
    // Jobs are called after the stack's id: a name of a tuning has 32 letters at most, and a stack's may have more.
    const prefix = `algo-${stackWord()}`;
    this.running(job, group, '/aws/sagemaker/TrainingJobs');
    grant(job, ['logs:CreateLogStream', 'logs:PutLogEvents'],
      [stack.formatArn({ service: 'logs', resource: 'log-group', resourceName: `${group}:log-stream:${prefix}-*`, arnFormat: ArnFormat.COLON_RESOURCE_NAME })],
      { why: 'Streams of this stack\'s jobs.' });
    readLake(job, data, ['lake', 'training']);
    grant(job, ['s3:PutObject', 's3:AbortMultipartUpload'], [data.lake.arnForObjects('training/*')], { why: 'A job has no name before it is made.' });
    grant(job, ['kms:GenerateDataKey', 'kms:DescribeKey'], [data.key.keyArn]);
    // Its volume is the instance's, which SageMaker starts in the role's name.
    grant(job, ['kms:CreateGrant'], [data.key.keyArn], { conditions: { Bool: { 'kms:GrantIsForAWSResource': 'true' } } });

    const role = new iam.Role(node, 'Role', {
      assumedBy: ofThisAccount('states.amazonaws.com'),
      description: 'The training state machine',
    });
    const jobs = (resource: string) => stack.formatArn({ service: 'sagemaker', resource, resourceName: `${prefix}-*` });
    const why = 'Jobs of this stack; they have no names before they are made.';
    grant(role, ['sagemaker:CreateTrainingJob', 'sagemaker:DescribeTrainingJob', 'sagemaker:StopTrainingJob'], [jobs('training-job')], { why });
    grant(role, ['sagemaker:CreateHyperParameterTuningJob', 'sagemaker:DescribeHyperParameterTuningJob', 'sagemaker:StopHyperParameterTuningJob'],
      [jobs('hyper-parameter-tuning-job')], { why });
    // Step Functions marks the jobs that it waits for.
    grant(role, ['sagemaker:AddTags', 'sagemaker:ListTags'], [jobs('training-job'), jobs('hyper-parameter-tuning-job')], { why });
    grant(role, ['iam:PassRole'], [job.roleArn], { conditions: { StringEquals: { 'iam:PassedToService': 'sagemaker.amazonaws.com' } } });
    // Rules by which Step Functions learns that a job has ended; it makes them itself, once for the account.
    grant(role, ['events:PutTargets', 'events:PutRule', 'events:DescribeRule'], ['TrainingJobs', 'HyperParameterTuningJobs'].map((what) =>
      stack.formatArn({ service: 'events', resource: 'rule', resourceName: `StepFunctionsGetEventsForSageMaker${what}Rule` })));
    grant(role, ['sns:Publish'], [topic.topicArn]);
    grant(role, ['kms:GenerateDataKey', 'kms:Decrypt'], [data.key.keyArn]);
    traced(role);
    new sfn.StateMachine(node, 'Train', {
      stateMachineName: `${name}-train`,
      definitionBody: sfn.DefinitionBody.fromString(machine('train')),
      definitionSubstitutions: {
        Prefix: prefix, Image: choices.value('ModelImage'), RoleArn: job.roleArn, KeyArn: data.key.keyArn, TopicArn: topic.topicArn,
        LakeUrl: data.lakeUrl, OutputUrl: `s3://${output}`,
      },
      role, tracingEnabled: true,
      logs: {
        destination: new logs.LogGroup(node, 'Log', {
          logGroupName: `/aws/vendedlogs/states/${name}-train`, encryptionKey: data.key,
          retention: logs.RetentionDays.THREE_MONTHS, removalPolicy: RemovalPolicy.DESTROY,
        }),
        level: sfn.LogLevel.ALL, includeExecutionData: false,
      },
    });
  }
}

const FOLDER = '/home/ec2-user/SageMaker/algotrading';

function source(name: string): string {
  return readFileSync(join(TOP, 'sagemaker', 'notebooks', name), 'utf8');
}

/** A part of a script that writes a file. */
function file(path: string, text: string): string {
  return `cat > ${path} <<'END_OF_FILE'\n${text.trimEnd()}\nEND_OF_FILE`;
}

function unit(description: string, section: string, lines: string[]): string {
  return [`[Unit]`, `Description=${description}`, '', `[${section}]`, ...lines].join('\n');
}

/**
 * Once, when the instance is made: our notebooks. Their text is in the template, so that they are there without a bucket
 * of somebody's to fetch them from; after that they are the analyst's, whom no start may overwrite.
 */
function created(): string {
  const text = (name: string) => (name.endsWith('.ipynb') ? JSON.stringify(JSON.parse(source(name))) : source(name));
  return ['#!/bin/bash', 'set -eu', `mkdir -p ${FOLDER}`, `cd ${FOLDER}`, ...NOTEBOOK_FILES.map((name) => file(name, text(name))), ''].join('\n');
}

// CloudFormation may look for the parts of a choice that was left empty: what separates them stands behind once more.

/** The object that an address such as s3://bucket/path names. */
function object(url: string): string {
  return `arn:${Aws.PARTITION}:s3:::${Fn.select(1, Fn.split('s3://', `${url}s3://`))}`;
}

/** The repository of an image in ECR, of whatever account and region. */
function repository(image: string): string {
  const registry = Fn.split('.', `${Fn.select(0, Fn.split('/', image))}....`);
  const path = Fn.select(1, Fn.split('.amazonaws.com/', `${image}.amazonaws.com/`));
  const named = Fn.select(0, Fn.split(':', Fn.select(0, Fn.split('@', path))));
  return `arn:${Aws.PARTITION}:ecr:${Fn.select(3, registry)}:${Fn.select(0, registry)}:repository/${named}`;
}
