/** Containers: the cluster, and a task definition for each program. Nothing is always on. */
import { Aws, RemovalPolicy } from 'aws-cdk-lib';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { type Artifacts, CONTAINERS, type ContainerName } from './artifacts';
import { acknowledge, readWriteLake, readWriteRecords } from './access';
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
    this.executionRole = new iam.Role(this, 'ExecutionRole', {
      assumedBy: new iam.ServicePrincipal('ecs-tasks.amazonaws.com'), description: 'Starts containers: fetches the image, writes the log',
    });
    artifacts.grantPull(this.executionRole);
    for (const program of CONTAINERS) this.tasks.set(program, this.task(program));
  }

  private task(program: ContainerName): ecs.FargateTaskDefinition {
    const { cpu, memory, disk } = SIZES[program];
    const group = new logs.LogGroup(this, `Log-${program}`, {
      logGroupName: `/ecs/${this.name}-${program}`, encryptionKey: this.data.key,
      retention: logs.RetentionDays.THREE_MONTHS, removalPolicy: RemovalPolicy.DESTROY,
    });
    this.logs.set(program, group);
    const role = new iam.Role(this, `Role-${program}`, { assumedBy: tasks(), description: `The container ${program}` });
    readWriteLake(role, this.data, program === 'ingest-task' ? ['lake', 'exports'] : ['lake']);
    readWriteRecords(role, this.data);
    const definition = new ecs.FargateTaskDefinition(this, `Task-${program}`, {
      family: `${this.name}-${program}`,
      cpu, memoryLimitMiB: memory, ephemeralStorageGiB: disk,
      runtimePlatform: { cpuArchitecture: ecs.CpuArchitecture.ARM64, operatingSystemFamily: ecs.OperatingSystemFamily.LINUX },
      taskRole: role, executionRole: this.executionRole,
      // The root is read-only; rows are sorted here.
      volumes: [{ name: 'scratch' }],
    });
    const container = definition.addContainer(program, {
      containerName: program,
      image: ecs.ContainerImage.fromRegistry(this.artifacts.image),
      entryPoint: [`/${program}`],
      environment: this.environment,
      readonlyRootFilesystem: true,
      user: USER,
      logging: ecs.LogDriver.awsLogs({ logGroup: group, streamPrefix: program }),
    });
    container.addMountPoints({ containerPath: '/tmp', sourceVolume: 'scratch', readOnly: false });
    acknowledge(definition, 'AwsSolutions-ECS2', 'Names of buckets, tables and the topic; no secret is among them.');
    return definition;
  }
}

function tasks() {
  return new iam.ServicePrincipal('ecs-tasks.amazonaws.com', {
    conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } },
  });
}
