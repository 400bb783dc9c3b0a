/** Where programs come from. */
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import type * as s3 from 'aws-cdk-lib/aws-s3';
import type { IConstruct } from 'constructs';

/** Programs that run as functions, with what each may take: seconds, and MiB of memory. */
export const FUNCTIONS = {
  'plan-session': 30, 'export-assets': 120, 'ingest-bars': 900, 'crawl-catalog': 120, 'run-query': 60,
  'score-signals': 300, 'launch-strategy': 60, 'watch-pnl': 120, 'report-run': 300,
} as const;
export type FunctionName = keyof typeof FUNCTIONS;

/** Programs of the containers' image. */
export const CONTAINERS = ['strategy-runner', 'ingest-task'] as const;
export type ContainerName = (typeof CONTAINERS)[number];

export interface Artifacts {
  code(name: FunctionName): lambda.Code;
  /** URI of the containers' image. */
  readonly image: string;
  /** What must be there before a function is made. */
  readonly ready: IConstruct[];
  /** Lets ECS fetch the image. */
  grantPull(role: iam.IRole): void;
}

/** Programs that lie in a bucket: `<prefix>/<function>.zip`, and an image. */
export class Placed implements Artifacts {
  readonly ready: IConstruct[] = [];
  constructor(private readonly bucket: s3.IBucket, private readonly prefix: string, readonly image: string) {}

  code(name: FunctionName): lambda.Code {
    return lambda.Code.fromBucket(this.bucket, `${this.prefix}/${name}.zip`);
  }

  grantPull(): void {}
}
