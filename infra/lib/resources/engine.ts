/** Containers: the cluster, and a task definition for each program that runs for a session. */
import { type Duration, RemovalPolicy } from 'aws-cdk-lib';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { type Artifacts, CONTAINERS, type ContainerName } from './artifacts';
import { acknowledge, ofThisAccount, readWriteLake, readWriteRecords } from './access';
import type { Data } from './data';

const SIZES: Record<ContainerName, { cpu: number; memory: number; disk: number }> = {
  'strategy-runner': { cpu: 512, memory: 1024, disk: 21 },
  'ingest-task': { cpu: 2048, memory: 4096, disk: 100 },
};
/** Nobody in particular; the image says so too. */
const USER = '65532:65532';

export class Engine extends Construct {
  readonly cluster: ecs.CfnCluster;
  readonly tasks = new Map<ContainerName, ecs.FargateTaskDefinition>();
  readonly logs = new Map<ContainerName, logs.LogGroup>();
  readonly executionRole: iam.Role;

  constructor(
    scope: Construct, id: string, private readonly name: string, private readonly data: Data,
    private readonly artifacts: Artifacts, private readonly environment: Record<string, string>,
  ) {
    super(scope, id);
    this.cluster = new ecs.CfnCluster(this, 'Cluster', { clusterName: `${name}-cluster` });
    acknowledge(this.cluster, 'AwsSolutions-ECS4', 'Tasks last a minute; their figures are the watcher\'s. Insights would cost more than the tasks.');
    this.executionRole = starter(this);
    artifacts.grantPull(this.executionRole);
    for (const program of CONTAINERS) this.tasks.set(program, this.task(program));
  }

  private task(program: ContainerName): ecs.FargateTaskDefinition {
    const role = new iam.Role(this, `Role-${program}`, { assumedBy: ofThisAccount('ecs-tasks.amazonaws.com'), description: `The container ${program}` });
    readWriteLake(role, this.data, program === 'ingest-task' ? ['lake', 'exports'] : ['lake']);
    readWriteRecords(role, this.data);
    const { definition, group } = container(this, {
      program, family: `${this.name}-${program}`, ...SIZES[program], role, executionRole: this.executionRole,
      key: this.data.key, image: this.artifacts.image, environment: this.environment,
    });
    this.logs.set(program, group);
    return definition;
  }
}

/** The role that starts containers. */
export function starter(scope: Construct): iam.Role {
  return new iam.Role(scope, 'ExecutionRole', {
    assumedBy: new iam.ServicePrincipal('ecs-tasks.amazonaws.com'), description: 'Starts containers: fetches the image, writes the log',
  });
}

export interface ContainerProps {
  readonly program: string;
  readonly family: string;
  readonly cpu: number;
  readonly memory: number;
  /** GiB; without it the 20 that everything has. */
  readonly disk?: number;
  readonly role: iam.Role;
  readonly executionRole: iam.Role;
  readonly key: kms.IKey;
  readonly image: string;
  readonly environment: Record<string, string>;
  /** What it has between being asked to stop and being stopped; without it half a minute. */
  readonly patience?: Duration;
}

/** A program of the image as a task: arm64, as nobody, on a root that it cannot write, with a log of its own. */
export function container(scope: Construct, props: ContainerProps): { definition: ecs.FargateTaskDefinition; group: logs.LogGroup } {
  const { program, family, cpu, memory, disk, role, executionRole, key, image, environment, patience } = props;
  const group = new logs.LogGroup(scope, `Log-${program}`, {
    logGroupName: `/ecs/${family}`, encryptionKey: key,
    retention: logs.RetentionDays.THREE_MONTHS, removalPolicy: RemovalPolicy.DESTROY,
  });
  const definition = new ecs.FargateTaskDefinition(scope, `Task-${program}`, {
    family, cpu, memoryLimitMiB: memory, ...(disk ? { ephemeralStorageGiB: disk } : {}),
    runtimePlatform: { cpuArchitecture: ecs.CpuArchitecture.ARM64, operatingSystemFamily: ecs.OperatingSystemFamily.LINUX },
    taskRole: role, executionRole,
    // The root is read-only; rows are sorted here.
    volumes: [{ name: 'scratch' }],
  });
  const made = definition.addContainer(program, {
    containerName: program,
    image: ecs.ContainerImage.fromRegistry(image),
    entryPoint: [`/${program}`],
    environment,
    readonlyRootFilesystem: true,
    user: USER,
    logging: ecs.LogDriver.awsLogs({ logGroup: group, streamPrefix: program }),
    ...(patience ? { stopTimeout: patience } : {}),
  });
  made.addMountPoints({ containerPath: '/tmp', sourceVolume: 'scratch', readOnly: false });
  acknowledge(definition, 'AwsSolutions-ECS2', 'Names of buckets, tables, queues and the topic, and the ARN of a secret; no secret is among them.');
  return { definition, group };
}
