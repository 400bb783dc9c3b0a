/**
 * Where containers run. Without NAT gateway and interface endpoints: a container reaches AWS by an address of its own,
 * and nothing reaches the container. Or, by choice, in subnets that lead nowhere, with an endpoint for each service.
 */
import { Aws, Fn, RemovalPolicy } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import type { Choices, Switch } from '../choices';
import { either, optional } from '../optional';
import { grant, ofThisAccount } from './access';
import type { Data } from './data';

const ZONES = 2;
/** What a container calls beside S3 and DynamoDB, which have gateways for nothing. */
const INTERFACES = ['ecr.api', 'ecr.dkr', 'logs'];
/** What programs that are always on call beside these. */
const TRADING_INTERFACES = ['kinesis-streams', 'sqs', 'monitoring', 'sns'];

export class Network extends Construct {
  readonly vpc: ec2.Vpc;
  readonly securityGroup: ec2.SecurityGroup;
  /** Ids with commas between. */
  readonly subnets: string;
  /** Whether a container needs an address of its own. */
  readonly publicAddress: string;
  /** The ways out of private subnets, by name: what is started before they are there reaches nothing. */
  readonly ways: string[] = [];

  constructor(scope: Construct, id: string, choices: Choices, data: Data) {
    super(scope, id);
    const isPrivate = choices.is('PrivateNetwork', 'true');
    this.vpc = new ec2.Vpc(this, 'Vpc', {
      maxAzs: ZONES,
      natGateways: 0,
      restrictDefaultSecurityGroup: false,
      ipAddresses: ec2.IpAddresses.cidr('10.0.0.0/16'),
      subnetConfiguration: [{ name: 'public', subnetType: ec2.SubnetType.PUBLIC, cidrMask: 24, mapPublicIpOnLaunch: false }],
      gatewayEndpoints: {
        S3: { service: ec2.GatewayVpcEndpointAwsService.S3 },
        DynamoDb: { service: ec2.GatewayVpcEndpointAwsService.DYNAMODB },
      },
    });
    this.securityGroup = new ec2.SecurityGroup(this, 'Containers', {
      vpc: this.vpc, allowAllOutbound: false, description: 'Containers call out by HTTPS, nothing calls them',
    });
    this.securityGroup.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(443), 'HTTPS');
    this.flowLogs(data);
    const inside = optional(isPrivate, this, 'Private', (node) => this.privateSubnets(node, isPrivate));
    const publicIds = Fn.join(',', this.vpc.publicSubnets.map((subnet) => subnet.subnetId));
    this.subnets = inside ? either(isPrivate, Fn.join(',', inside.ids), publicIds) : publicIds;
    if (inside) {
      const trading = choices.all('PrivateAndTrading', isPrivate, choices.isNot('Trading', 'off'));
      const secret = choices.all('PrivateAndSecret', trading, choices.given('BrokerSecret'));
      optional(trading, this, 'Trading', (node) => this.interfaces(node, trading, TRADING_INTERFACES, inside));
      optional(secret, this, 'Secret', (node) => this.interfaces(node, secret, ['secretsmanager'], inside));
    }
    this.publicAddress = either(isPrivate, 'false', 'true');
  }

  /** What was refused, so that somebody can look why. */
  private flowLogs(data: Data) {
    const group = new logs.LogGroup(this, 'FlowLogs', {
      encryptionKey: data.key, retention: logs.RetentionDays.ONE_MONTH, removalPolicy: RemovalPolicy.DESTROY,
    });
    const role = new iam.Role(this, 'FlowLogsRole', { assumedBy: ofThisAccount('vpc-flow-logs.amazonaws.com') });
    new ec2.CfnFlowLog(this, 'Refused', {
      resourceId: this.vpc.vpcId, resourceType: 'VPC', trafficType: 'REJECT',
      logGroupName: group.logGroupName, deliverLogsPermissionArn: role.roleArn,
    });
    grant(role, ['logs:CreateLogStream', 'logs:PutLogEvents', 'logs:DescribeLogStreams'], [group.logGroupArn],
      { why: 'Streams of the one log group.' });
  }

  private privateSubnets(node: Construct, on: Switch): Inside {
    const table = new ec2.CfnRouteTable(node, 'Routes', { vpcId: this.vpc.vpcId });
    const subnets = Array.from({ length: ZONES }, (_, zone) => {
      const subnet = new ec2.CfnSubnet(node, `Subnet${zone + 1}`, {
        vpcId: this.vpc.vpcId,
        availabilityZone: Fn.select(zone, Fn.getAzs()),
        // The public ones are given from the beginning of the network on.
        cidrBlock: `10.0.${128 + zone}.0/24`,
      });
      new ec2.CfnSubnetRouteTableAssociation(node, `Route${zone + 1}`, {
        routeTableId: table.ref, subnetId: subnet.ref,
      });
      return subnet;
    });
    for (const service of ['s3', 'dynamodb']) {
      const gateway = new ec2.CfnVPCEndpoint(node, `Gateway-${service}`, {
        vpcId: this.vpc.vpcId, serviceName: called(service),
        vpcEndpointType: 'Gateway', routeTableIds: [table.ref],
      });
      this.ways.push(either(on, gateway.ref, ''));
    }
    const endpoints = new ec2.CfnSecurityGroup(node, 'Endpoints', {
      vpcId: this.vpc.vpcId,
      groupDescription: 'Interface endpoints, for the containers only',
      securityGroupIngress: [{
        ipProtocol: 'tcp', fromPort: 443, toPort: 443, sourceSecurityGroupId: this.securityGroup.securityGroupId,
        description: 'HTTPS from containers',
      }],
      // Without a rule CloudFormation lets everything out; an endpoint opens no connection.
      securityGroupEgress: [{ ipProtocol: 'tcp', fromPort: 443, toPort: 443, cidrIp: '127.0.0.1/32', description: 'nowhere' }],
    });
    const inside = { ids: subnets.map((subnet) => subnet.ref), endpoints };
    this.interfaces(node, on, INTERFACES, inside);
    return inside;
  }

  private interfaces(node: Construct, on: Switch, services: string[], { ids, endpoints }: Inside) {
    for (const service of services) {
      const made = new ec2.CfnVPCEndpoint(node, `Interface-${service}`, {
        vpcId: this.vpc.vpcId, serviceName: called(service),
        vpcEndpointType: 'Interface', privateDnsEnabled: true,
        subnetIds: ids, securityGroupIds: [endpoints.attrGroupId],
      });
      this.ways.push(either(on, made.ref, ''));
    }
  }
}

/** The subnets that lead nowhere, and who may reach the endpoints in them. */
interface Inside { readonly ids: string[]; readonly endpoints: ec2.CfnSecurityGroup }

function called(service: string): string {
  return `com.amazonaws.${Aws.REGION}.${service}`;
}
