/**
 * The template for the offline AWS: the same modules with the same choices, programs that already lie in a bucket, and
 * the addresses of the servers in the environment. What MiniStack does not know is left out, by type, and said here.
 */
import { App, Aws, CfnParameter, Stack } from 'aws-cdk-lib';
import * as s3 from 'aws-cdk-lib/aws-s3';
import * as scheduler from 'aws-cdk-lib/aws-scheduler';
import { CHOICES, Parameters } from './choices';
import { Placed } from './resources/artifacts';
import { OneFile } from './synthesizer';
import { System } from './system';
import { CONTEXT } from './template';

/** Types of resources that MiniStack refuses; of alarms those over several figures. */
const UNKNOWN = [
  'AWS::Athena::NamedQuery', 'AWS::Budgets::Budget', 'AWS::DataExchange::EventAction', 'AWS::EC2::FlowLog',
  'AWS::LakeFormation::', 'AWS::QuickSight::', 'AWS::SageMaker::',
];
/** The services that our server speaks, or stands before. */
const OURS = ['ATHENA', 'DATAEXCHANGE', 'ECS', 'GLUE', 'SAGEMAKER_RUNTIME'];

export function offline(): Record<string, unknown> {
  const app = new App({ analyticsReporting: false, context: { ...CONTEXT, 'aws:cdk:disable-validation': true } });
  const stack = new Stack(app, 'offline', { synthesizer: new OneFile() });
  const parameter = (name: string) => new CfnParameter(stack, name, { type: 'String' }).valueAsString;
  const [emulator, server] = [parameter('Emulator'), parameter('Server')];
  const place = s3.Bucket.fromBucketName(stack, 'Programs', parameter('ProgramBucket'));
  const prefix = parameter('ProgramPrefix');
  const system = new System(
    { data: stack, platform: stack, analytics: stack, ml: stack, operations: stack },
    {
      name: Aws.STACK_NAME,
      // A folder is a data set here, and called as one likes.
      choices: new Parameters(stack, { ...CHOICES, DataSetId: { ...CHOICES.DataSetId, pattern: '^[a-z-]*$' } }),
      artifacts: () => new Placed(place, prefix, 'containers'),
      environment: Object.fromEntries([
        ['AWS_ENDPOINT_URL', emulator],
        ...OURS.map((service) => [`AWS_ENDPOINT_URL_${service}`, server]),
      ]),
      exchangeSources: ['aws.dataexchange', 'offline.dataexchange'],
    },
  );
  // Our server must know the lake before there is a stack.
  (system.data.lake.node.defaultChild as s3.CfnBucket).bucketName = `${Aws.STACK_NAME}-lake`;
  // MiniStack would fire them in UTC, and without the time in their input.
  for (const one of stack.node.findAll()) if (one instanceof scheduler.CfnSchedule) one.state = 'DISABLED';
  return without(app.synth().getStackByName(stack.stackName).template);
}

interface Resource { Type: string; Properties?: Record<string, unknown>; DependsOn?: string | string[] }
interface Template { Resources: Record<string, Resource> }

/** Whether MiniStack refuses a resource. */
function unknown({ Type, Properties }: Resource): boolean {
  const metricMath = Type === 'AWS::CloudWatch::Alarm' && Properties?.['Metrics'] !== undefined;
  return metricMath || UNKNOWN.some((type) => (type.endsWith('::') ? Type.startsWith(type) : Type === type));
}

/** A template without what MiniStack refuses; what is left waits for it no more, and names it in words. */
function without(template: Template): Record<string, unknown> {
  const gone = new Set(Object.entries(template.Resources).filter(([, one]) => unknown(one)).map(([id]) => id));
  for (const id of gone) delete template.Resources[id];
  for (const one of Object.values(template.Resources)) {
    if (one.DependsOn) one.DependsOn = [one.DependsOn].flat().filter((id) => !gone.has(id));
  }
  const named = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(named);
    if (typeof value !== 'object' || value === null) return value;
    const { Ref: ref, 'Fn::GetAtt': attribute } = value as { Ref?: string; 'Fn::GetAtt'?: string[] };
    if (gone.has(ref ?? attribute?.[0] ?? '')) return 'not on the offline AWS';
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, named(one)]));
  };
  return named(template) as Record<string, unknown>;
}
