/** SageMaker's part: what each choice makes, what each role may do, and that scripts, notebooks and the machine are right. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { flattenCfnReference } from 'cdk-nag/lib/utils/flatten-cfn-reference';
import { NOTEBOOK_FILES, SCRIPT_MAX } from '../lib/resources/ml';
import { machine } from '../lib/resources/operations';
import { TOP } from '../lib/sql';
import { unknownWords } from './asked';
import { EVERYTHING, one, several, type Given, type Resource } from './support';

const validator = require('asl-validator') as (definition: object) => { isValid: boolean; errors: unknown[] };

const IMAGE = '111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/model:1';
const MODEL: Given = { ModelImage: IMAGE, ModelData: 's3://bucket/path/model.tar.gz' };
const NOTEBOOKS = join(TOP, 'sagemaker', 'notebooks');
type Resources = Record<string, Resource>;
const ml = (given: Given): Resources => several(given)['Ml']?.Resources ?? {};
const of = (resources: Resources, type: string) => Object.entries(resources).filter(([, resource]) => resource.Type === type);
const only = (resources: Resources, type: string): Resource => {
  const found = of(resources, type);
  assert.equal(found.length, 1, type);
  return (found[0] as [string, Resource])[1];
};
const types = (resources: Resources) => [...new Set(Object.values(resources).map((resource) => resource.Type))]
  .filter((type) => !/IAM|Logs/.test(type)).sort();
/** Without the hash of a logical id, and without the export that another stack's is. */
const flat = (value: unknown) => flattenCfnReference(value).replace(/\{"Fn::Select".*?"AWS::StackId"\}[\]}]+/g, '<Stack>')
  .replace(/<([A-Za-z0-9]+?)[0-9A-F]{8}([.>])/g, '<$1$2')
  .replace(/fund-\w+:ExportsOutput(?:Ref|FnGetAtt)([A-Za-z]+?)[0-9A-F]{8}(?:Arn)?[0-9A-F]{8}/g, '<$1>').replace(/arn:<AWS::Partition>/g, 'arn')
  .replace(/<AWS::Region>:<AWS::AccountId>/g, 'here');
/** Lines, and the actions of each, in order. */
const sorted = (lines: string[]) => lines.map((line) => line.replace(/^(.*?): (.*?)( if .*)?$/, (_, resource: string, actions: string, condition = '') =>
  `${resource}: ${actions.split(' ').sort().join(' ')}${condition}`)).sort();
/** Resource: actions, for the role that begins so. */
function may(resources: Resources, id: string): string[] {
  return of(resources, 'AWS::IAM::Policy').filter(([name]) => name.startsWith(id)).flatMap(([, policy]) =>
    policy.Properties['PolicyDocument'].Statement.flatMap((one: any) => [one.Resource].flat().map((resource) =>
      `${flat(resource)}: ${[one.Action].flat().sort().join(' ')}${one.Condition ? ` if ${JSON.stringify(one.Condition)}` : ''}`))).sort();
}

test('defaults make nothing, and functions are told of no endpoint', () => {
  const stacks = several();
  assert.deepEqual(stacks['Ml']?.Resources ?? {}, {});
  const told = of(stacks['Platform']?.Resources ?? {}, 'AWS::Lambda::Function').map(([, made]) => made.Properties['Environment'].Variables.ENDPOINT);
  assert.ok(told.includes(''));
  assert.ok(told.every((endpoint) => !endpoint));
});

test('each choice makes its own', () => {
  const training = ['AWS::StepFunctions::StateMachine'];
  const registry = ['AWS::SageMaker::ModelPackage', 'AWS::SageMaker::ModelPackageGroup'];
  const endpoint = ['AWS::SageMaker::Endpoint', 'AWS::SageMaker::EndpointConfig', 'AWS::SageMaker::Model'];
  assert.deepEqual(types(ml({ Notebook: 'true' })), ['AWS::SageMaker::NotebookInstance', 'AWS::SageMaker::NotebookInstanceLifecycleConfig']);
  assert.deepEqual(types(ml({ ModelImage: IMAGE })), training);
  assert.deepEqual(types(ml({ ModelData: 's3://bucket/model.tar.gz' })), []);
  assert.deepEqual(types(ml(MODEL)), [...registry, ...training].sort());
  assert.deepEqual(types(ml({ ...MODEL, Endpoint: 'serverless' })), [...endpoint, ...registry, ...training].sort());
  assert.throws(() => ml({ Endpoint: 'serverless' }), /give ModelImage too/);
  assert.throws(() => ml({ Endpoint: 'real-time', ModelImage: IMAGE }), /give ModelData too/);
});

test('an endpoint is the one that score-signals asks, serverless or an instance', () => {
  const asked = (given: Given) => {
    const stacks = several(given);
    const told = of(stacks['Platform']?.Resources ?? {}, 'AWS::Lambda::Function')
      .find(([id]) => id.includes('scoresignals'))?.[1].Properties['Environment'].Variables.ENDPOINT;
    const made = stacks['Ml']?.Resources ?? {};
    assert.equal(only(made, 'AWS::SageMaker::Endpoint').Properties['EndpointName'], 'fund-endpoint');
    assert.equal(told, 'fund-endpoint');
    const model = only(made, 'AWS::SageMaker::Model').Properties;
    assert.deepEqual(model['PrimaryContainer'], { Image: IMAGE, ModelDataUrl: 's3://bucket/path/model.tar.gz' });
    return { model, config: only(made, 'AWS::SageMaker::EndpointConfig').Properties };
  };
  const serverless = asked({ ...MODEL, Endpoint: 'serverless' });
  assert.deepEqual(serverless.config['ProductionVariants'][0].ServerlessConfig, { MaxConcurrency: 5, MemorySizeInMB: 1024 });
  assert.deepEqual([serverless.config['KmsKeyId'], serverless.model['EnableNetworkIsolation']], [undefined, false]);
  const instance = asked({ ...MODEL, Endpoint: 'real-time' });
  assert.equal(instance.config['ProductionVariants'][0].InstanceType, 'ml.m5.large');
  assert.ok(instance.config['KmsKeyId']);
  assert.equal(instance.model['EnableNetworkIsolation'], true);
});

test('in the template each has its condition, and an endpoint without a model is refused at once', () => {
  const { template } = one();
  const conditions = (start: string) => [...new Set(Object.entries(template.Resources).filter(([id]) => id.startsWith(start)).map(([, made]) => made.Condition))];
  assert.deepEqual(conditions('MlNotebook'), ['NotebookIsTrue']);
  assert.deepEqual(conditions('MlServerless'), ['EndpointServerless']);
  assert.deepEqual(conditions('MlRealTime'), ['EndpointRealTime']);
  assert.deepEqual(conditions('MlEndpoint'), ['EndpointMade']);
  assert.deepEqual(conditions('MlModel'), ['EndpointMade']);
  assert.deepEqual(conditions('MlRegistered'), ['ModelGiven']);
  assert.deepEqual(conditions('MlTraining'), ['ModelImageGiven']);
  assert.ok(Object.entries(template.Resources).every(([id, made]) => !id.startsWith('Ml') || made.Condition));
  assert.deepEqual(template.Conditions['EndpointMade'], { 'Fn::And': [{ Condition: 'EndpointIsNotNone' }, { Condition: 'ModelGiven' }] });
  const rule = (template as any).Rules.EndpointHasModel;
  assert.deepEqual(rule.RuleCondition, { 'Fn::Not': [{ 'Fn::Equals': [{ Ref: 'Endpoint' }, 'none'] }] });
  assert.deepEqual(rule.Assertions.map((one: any) => one.AssertDescription), ['With an Endpoint give ModelImage too.', 'With an Endpoint give ModelData too.']);
  const score = Object.entries(template.Resources).find(([id, made]) => made.Type === 'AWS::Lambda::Function' && id.includes('scoresignals'));
  assert.equal(score?.[1].Properties['Environment'].Variables.ENDPOINT['Fn::If'][0], 'EndpointMade');
  // A part that is looked for in an empty choice is there.
  for (const [, index, by, behind] of JSON.stringify(template.Resources).matchAll(/\{"Fn::Select":\[(\d),\{"Fn::Split":\["([^"]+)",\{"Fn::Join":\["",\[\{"Ref":"Model\w+"\},"([^"]+)"\]\]\}\]\}\]\}/g)) {
    assert.notEqual((behind ?? '').split(by ?? '')[Number(index)], undefined);
  }
});

test('the notebook instance: a small one, its key, no root, new metadata only', () => {
  const made = ml({ Notebook: 'true' });
  const { KmsKeyId: key, RoleArn: role, LifecycleConfigName: scripts, Tags: _, ...rest } = only(made, 'AWS::SageMaker::NotebookInstance').Properties;
  assert.ok(key && role && scripts);
  assert.deepEqual(rest, {
    DirectInternetAccess: 'Enabled', InstanceMetadataServiceConfiguration: { MinimumInstanceMetadataServiceVersion: '2' },
    InstanceType: 'ml.t3.medium', NotebookInstanceName: 'fund-notebook', PlatformIdentifier: 'notebook-al2023-v1', RootAccess: 'Disabled', VolumeSizeInGB: 10,
  });
  const allowed = may(made, 'MlNotebookRole');
  assert.deepEqual(allowed.filter((line) => /:(Put|Create|Delete|Update|Stop|Start|Generate)/.test(line)), sorted([
    'arn:athena:here:workgroup/<CatalogWorkGroup>: athena:GetWorkGroup athena:StartQueryExecution athena:StopQueryExecution athena:GetQueryExecution ' +
      'athena:BatchGetQueryExecution athena:ListQueryExecutions athena:GetQueryResults athena:GetQueryResultsStream',
    'arn:logs:here:log-group:/aws/sagemaker/NotebookInstances: logs:CreateLogGroup logs:DescribeLogStreams',
    'arn:logs:here:log-group:/aws/sagemaker/NotebookInstances:log-stream:fund-notebook/*: logs:CreateLogStream logs:PutLogEvents',
    'arn:sagemaker:here:notebook-instance/fund-notebook: sagemaker:StopNotebookInstance',
    '<CatalogResults>/athena/*: s3:GetObject s3:PutObject s3:ListMultipartUploadParts s3:AbortMultipartUpload',
    '<DataKey>: kms:Decrypt kms:GenerateDataKey',
  ]));
});

test('who runs the model may fetch the one image and the one model', () => {
  const made = ml({ ...MODEL, Endpoint: 'serverless' });
  assert.deepEqual(may(made, 'MlModelRole'), sorted([
    '*: cloudwatch:PutMetricData if {"StringEquals":{"cloudwatch:namespace":"/aws/sagemaker/Endpoints"}}',
    '*: ecr:GetAuthorizationToken',
    '<DataKey>: kms:Decrypt',
    '<MlModelLog.Arn>: logs:CreateLogStream logs:PutLogEvents',
    'arn:ecr:eu-central-1:111122223333:repository/team/model: ecr:BatchCheckLayerAvailability ecr:GetDownloadUrlForLayer ecr:BatchGetImage',
    'arn:logs:here:log-group:/aws/sagemaker/Endpoints/fund-endpoint: logs:CreateLogGroup logs:DescribeLogStreams',
    'arn:s3:::bucket/path/model.tar.gz: s3:GetObject',
  ]));
});

test('a training may read the lake and write below training/; the machine may start and stop its own jobs', () => {
  const made = ml({ ModelImage: IMAGE });
  assert.deepEqual(may(made, 'MlTrainingJobRole'), sorted([
    '*: cloudwatch:PutMetricData if {"StringEquals":{"cloudwatch:namespace":"/aws/sagemaker/TrainingJobs"}}',
    '*: ecr:GetAuthorizationToken',
    '<DataKey>: kms:CreateGrant if {"Bool":{"kms:GrantIsForAWSResource":"true"}}',
    '<DataKey>: kms:Decrypt kms:GenerateDataKey kms:DescribeKey',
    '<DataLake>/lake/*: s3:GetObject',
    '<DataLake>/training/*: s3:GetObject',
    '<DataLake>/training/*: s3:PutObject s3:AbortMultipartUpload',
    '<DataLake>: s3:ListBucket',
    'arn:ecr:eu-central-1:111122223333:repository/team/model: ecr:BatchCheckLayerAvailability ecr:GetDownloadUrlForLayer ecr:BatchGetImage',
    'arn:logs:here:log-group:/aws/sagemaker/TrainingJobs: logs:CreateLogGroup logs:DescribeLogStreams',
    'arn:logs:here:log-group:/aws/sagemaker/TrainingJobs:log-stream:algo-<Stack>-*: logs:CreateLogStream logs:PutLogEvents',
  ]));
  const rule = (what: string) => `arn:events:here:rule/StepFunctionsGetEventsForSageMaker${what}Rule: events:PutTargets events:PutRule events:DescribeRule`;
  const lines = may(made, 'MlTrainingRole').filter((line) => !/xray:|logs:/.test(line));
  assert.deepEqual(lines, sorted([
    '<DataKey>: kms:GenerateDataKey kms:Decrypt',
    '<MlTrainingJobRole.Arn>: iam:PassRole if {"StringEquals":{"iam:PassedToService":"sagemaker.amazonaws.com"}}',
    '<NoticesTopic>: sns:Publish',
    rule('HyperParameterTuningJobs'), rule('TrainingJobs'),
    'arn:sagemaker:here:hyper-parameter-tuning-job/algo-<Stack>-*: sagemaker:AddTags sagemaker:ListTags',
    'arn:sagemaker:here:hyper-parameter-tuning-job/algo-<Stack>-*: sagemaker:CreateHyperParameterTuningJob sagemaker:DescribeHyperParameterTuningJob sagemaker:StopHyperParameterTuningJob',
    'arn:sagemaker:here:training-job/algo-<Stack>-*: sagemaker:AddTags sagemaker:ListTags',
    'arn:sagemaker:here:training-job/algo-<Stack>-*: sagemaker:CreateTrainingJob sagemaker:DescribeTrainingJob sagemaker:StopTrainingJob',
  ]));
});

/** The machine as it is deployed. */
function train(): any {
  const given: Record<string, string> = {
    Prefix: 'algo-0123abcd', Image: IMAGE, RoleArn: 'arn:aws:iam::111122223333:role/job', KeyArn: 'arn:aws:kms:eu-central-1:111122223333:key/1',
    TopicArn: 'arn:aws:sns:eu-central-1:111122223333:notices', LakeUrl: 's3://bucket/lake', OutputUrl: 's3://bucket/training',
  };
  assert.deepEqual(Object.keys(only(ml({ ModelImage: IMAGE }), 'AWS::StepFunctions::StateMachine').Properties['DefinitionSubstitutions']).sort(), Object.keys(given).sort());
  const text = machine('train').replace(/\$\{(\w+)\}/g, (_, name: string) => given[name] ?? assert.fail(name));
  return JSON.parse(text);
}

test('the machine is valid, its jobs are encrypted, isolated, on Spot, and end in a notice', () => {
  const definition = train();
  const { isValid, errors } = validator(definition);
  assert.ok(isValid, JSON.stringify(errors));
  const { Train, Tune } = definition.States;
  for (const state of [Train, Tune]) {
    const job = state.Parameters.TrainingJobDefinition ?? state.Parameters;
    assert.equal(job.EnableNetworkIsolation, true);
    assert.equal(job.EnableManagedSpotTraining, true);
    assert.ok(job.StoppingCondition.MaxWaitTimeInSeconds >= job.StoppingCondition.MaxRuntimeInSeconds);
    assert.ok(state.TimeoutSeconds > job.StoppingCondition.MaxWaitTimeInSeconds);
    assert.equal(job.ResourceConfig.VolumeKmsKeyId, job.OutputDataConfig.KmsKeyId);
    assert.equal(job.ResourceConfig.InstanceCount, 1);
    assert.equal(job.InputDataConfig[0].DataSource.S3DataSource.S3Uri, 's3://bucket/lake/');
    assert.deepEqual(state.Catch.map((one: any) => [one.ErrorEquals[0], one.Next]), [['States.ALL', 'CauseGiven?']]);
    // It matches every error, also what may be tried again.
    assert.doesNotMatch(JSON.stringify(state.Retry), /States\.(TaskFailed|ALL)/);
  }
  assert.ok('algo-0123abcd-01234567'.length <= 32, 'a name of a tuning');
  assert.equal(definition.States.FailureNotice.Next, 'Failed');
});

test('metrics are read from what the container prints', () => {
  const { Train, Tune } = train().States;
  const lines = [
    'epoch=12 train_loss=0.693147 validation_loss=0.691234', 'round=3 reward=-0.012345 entropy=1.098612 turns=0.250000 explained=0.100000',
    'test.long.model.log_loss=0.6512', 'test.short.model.log_loss=0.6623', 'test.long.logistic.log_loss=0.6',
  ].join('\n');
  const read = (definitions: { Name: string; Regex: string }[]) => Object.fromEntries(definitions.map(({ Name, Regex }) => [Name, new RegExp(Regex).exec(lines)?.[1]]));
  assert.deepEqual(read(Train.Parameters.AlgorithmSpecification.MetricDefinitions), {
    train_loss: '0.693147', validation_loss: '0.691234', reward: '-0.012345', entropy: '1.098612', 'test:long:log_loss': '0.6512', 'test:short:log_loss': '0.6623',
  });
  assert.deepEqual(read(Tune.Parameters.TrainingJobDefinition.AlgorithmSpecification.MetricDefinitions), { validation_loss: '0.691234', reward: '-0.012345' });
  // As the program has them.
  const program = readFileSync(join(TOP, 'sagemaker', 'container', 'src', 'train.rs'), 'utf8');
  for (const written of ['"epoch={} train_loss={:.6} validation_loss={:.6}"', '"round={} reward={:.6} entropy={:.6} ', 'println!("{name}={value}")']) {
    assert.ok(program.includes(written), written);
  }
  const { ForLoss, ForReward } = train().States;
  assert.deepEqual([ForLoss.Result, ForReward.Result], [{ Type: 'Minimize', MetricName: 'validation_loss' }, { Type: 'Maximize', MetricName: 'reward' }]);
});

/** A script of the lifecycle, with what CloudFormation fills in, in a folder of ours. */
function script(hook: 'OnCreate' | 'OnStart', folder: string): string {
  const { Properties: scripts } = only(ml({ Notebook: 'true' }), 'AWS::SageMaker::NotebookInstanceLifecycleConfig');
  const text = scripts[hook][0].Content['Fn::Base64'];
  const filled = typeof text === 'string' ? text : text['Fn::Join'][1].map((part: unknown) => (typeof part === 'string' ? part : 'filled')).join('');
  assert.ok(Buffer.from(filled).toString('base64').length + 500 < SCRIPT_MAX, `${hook} is too long for SageMaker`);
  return filled.replaceAll('/home/ec2-user/', `${folder}/`).replaceAll('/usr/local/bin', folder).replaceAll('cat > /etc/systemd/system', `cat > ${folder}`);
}

test('the scripts leave the notebooks as they are here, and the timer', () => {
  const folder = mkdtempSync(join(tmpdir(), 'algotrading-notebook-'));
  const calm = 'aws() { false; }; chown() { :; }; systemctl() { :; };\n';
  execFileSync('bash', ['-c', script('OnCreate', folder)]);
  const placed = join(folder, 'SageMaker', 'algotrading');
  assert.deepEqual(readdirSync(placed).sort(), [...NOTEBOOK_FILES].sort());
  for (const name of NOTEBOOK_FILES) {
    const [here, there] = [NOTEBOOKS, placed].map((where) => readFileSync(join(where, name), 'utf8')) as [string, string];
    if (name.endsWith('.ipynb')) assert.deepEqual(JSON.parse(there), JSON.parse(here), name);
    else assert.equal(there, here, name);
  }
  execFileSync('bash', ['-c', calm + script('OnStart', folder)]);
  assert.deepEqual(Object.keys(JSON.parse(readFileSync(join(placed, 'settings.json'), 'utf8'))), ['region', 'database', 'workgroup', 'lake']);
  assert.equal(readFileSync(join(folder, 'algotrading-idle.py'), 'utf8'), readFileSync(join(NOTEBOOKS, 'idle.py'), 'utf8'));
  assert.match(readFileSync(join(folder, 'algotrading-idle.service'), 'utf8'), /ExecStart=\/usr\/bin\/python3 /);
  assert.match(readFileSync(join(folder, 'algotrading-idle.timer'), 'utf8'), /OnUnitActiveSec=5min/);
  rmSync(folder, { recursive: true });
});

const IDLE = `
import io, json, os, sys, tempfile, time
sys.path.insert(0, sys.argv[1])
import idle
folder = tempfile.mkdtemp()
idle.SEEN, idle.ABOUT = folder + '/seen', folder + '/about'
open(idle.ABOUT, 'w').write(json.dumps({'ResourceArn': 'arn:aws:sagemaker:eu-central-1:1:notebook-instance/one', 'ResourceName': 'one'}))
calls, clock = [], [1_700_000_000.0]
idle.subprocess.run = lambda command, check: calls.append(command)
idle.time.time = lambda: clock[0]
def at(minutes): return time.strftime('%Y-%m-%dT%H:%M:%S.000000Z', time.gmtime(1_700_000_000 + 60 * minutes))
def asked(minutes, kernels, terminals=()):
    clock[0] = 1_700_000_000.0 + 60 * minutes
    def ask(path):
        if kernels is None: raise OSError('refused')
        return list(kernels) if 'kernels' in path else list(terminals)
    idle.ask = ask
    before = len(calls)
    idle.main()
    return len(calls) > before
kernel = lambda state, minutes: {'execution_state': state, 'last_activity': at(minutes)}
assert not asked(0, []), 'just started'
assert not asked(59, []), 'within the hour'
assert asked(60, []), 'an hour without anything'
assert calls[0] == ['aws', 'sagemaker', 'stop-notebook-instance', '--region', 'eu-central-1', '--notebook-instance-name', 'one'], calls
os.remove(idle.SEEN)
assert not asked(0, [kernel('idle', 0)])
assert not asked(90, [kernel('busy', 0)]), 'a kernel computes'
assert not asked(140, [kernel('idle', 100)])
assert not asked(150, []), 'closed, but used within the hour'
assert asked(160, []), 'an hour after the last use'
assert not asked(165, [], [{'name': '1', 'last_activity': at(164)}]), 'a terminal'
assert not asked(220, None), 'no answer, within the hour'
assert asked(224, None), 'no answer for an hour'
`;

test('an idle instance stops after an hour, a busy one does not', () => {
  execFileSync('python3', ['-B', '-c', IDLE, NOTEBOOKS], { encoding: 'utf8', stdio: ['ignore', 'ignore', 'inherit'] });
});

test('notebooks have no outputs, are Python, and ask for what the catalogue has', () => {
  for (const name of NOTEBOOK_FILES.filter((file) => file.endsWith('.ipynb'))) {
    const notebook = JSON.parse(readFileSync(join(NOTEBOOKS, name), 'utf8'));
    assert.equal(notebook.nbformat, 4);
    const code: string[] = [];
    for (const cell of notebook.cells) {
      assert.ok(cell.id && ['code', 'markdown'].includes(cell.cell_type), name);
      if (cell.cell_type !== 'code') continue;
      assert.deepEqual([cell.outputs, cell.execution_count], [[], null], name);
      code.push(cell.source.join(''));
    }
    execFileSync('python3', ['-c', 'import ast, sys; ast.parse(sys.stdin.read())'], { input: code.join('\n') });
    const asked = [...code.join('\n').matchAll(/ask\(\s*"""(.*?)"""/gs)].map(([, sql]) => sql ?? '');
    assert.ok(asked.length > 0, name);
    for (const sql of asked) assert.deepEqual(unknownWords(sql), [], `${name}: ${sql}`);
  }
  assert.deepEqual(unknownWords('SELECT opened FROM hist_data_daily'), ['opened']);
  assert.deepEqual(unknownWords('SELECT dt FROM nowhere'), ['dt', 'nowhere']);
  execFileSync('python3', ['-c', 'import ast, sys; ast.parse(sys.stdin.read())'], { input: readFileSync(join(NOTEBOOKS, 'lake.py')) });
});

test('everything together has all of it', () => {
  assert.deepEqual(types(ml(EVERYTHING)), [
    'AWS::SageMaker::Endpoint', 'AWS::SageMaker::EndpointConfig', 'AWS::SageMaker::Model', 'AWS::SageMaker::ModelPackage',
    'AWS::SageMaker::ModelPackageGroup', 'AWS::SageMaker::NotebookInstance', 'AWS::SageMaker::NotebookInstanceLifecycleConfig',
    'AWS::StepFunctions::StateMachine',
  ]);
});
