/**
 * Where containers run. Without NAT gateway and interface endpoints: a container reaches AWS by an address of its own,
 * and nothing reaches the container. Or, by choice, in subnets that lead nowhere, with an endpoint for each service.
 */
import { Fn, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import type { Choices } from '../choices';
import { either, optional } from '../optional';
import { grant } from './access';
import type { Data } from './data';

const ZONES = 2;
/** What a container calls beside S3 and DynamoDB, which have gateways for nothing. */
const INTERFACES = ['ecr.api', 'ecr.dkr', 'logs'];

export class Network extends Construct {
  readonly vpc: ec2.Vpc;
  readonly securityGroup: ec2.SecurityGroup;
  /** Ids with commas between. */
  readonly subnets: string;
  /** Whether a container needs an address of its own. */
  readonly publicAddress: string;

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
    const ids = optional(isPrivate, this, 'Private', (node) => this.privateSubnets(node));
    const publicIds = Fn.join(',', this.vpc.publicSubnets.map((subnet) => subnet.subnetId));
    this.subnets = ids ? either(isPrivate, Fn.join(',', ids), publicIds) : publicIds;
    this.publicAddress = either(isPrivate, 'false', 'true');
  }

  /** What was refused, so that somebody can look why. */
  private flowLogs(data: Data) {
    const group = new logs.LogGroup(this, 'FlowLogs', {
      encryptionKey: data.key, retention: logs.RetentionDays.ONE_MONTH, removalPolicy: RemovalPolicy.DESTROY,
    });
    const role = new iam.Role(this, 'FlowLogsRole', { assumedBy: new iam.ServicePrincipal('vpc-flow-logs.amazonaws.com') });
    new ec2.CfnFlowLog(this, 'Refused', {
      resourceId: this.vpc.vpcId, resourceType: 'VPC', trafficType: 'REJECT',
      logGroupName: group.logGroupName, deliverLogsPermissionArn: role.roleArn,
    });
    grant(role, ['logs:CreateLogStream', 'logs:PutLogEvents', 'logs:DescribeLogStreams'], [group.logGroupArn],
      { why: 'Streams of the one log group.' });
  }

  private privateSubnets(node: Construct): string[] {
    const { region } = Stack.of(this);
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
      new ec2.CfnVPCEndpoint(node, `Gateway-${service}`, {
        vpcId: this.vpc.vpcId, serviceName: `com.amazonaws.${region}.${service}`,
        vpcEndpointType: 'Gateway', routeTableIds: [table.ref],
      });
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
    for (const service of INTERFACES) {
      new ec2.CfnVPCEndpoint(node, `Interface-${service}`, {
        vpcId: this.vpc.vpcId, serviceName: `com.amazonaws.${region}.${service}`,
        vpcEndpointType: 'Interface', privateDnsEnabled: true,
        subnetIds: subnets.map((subnet) => subnet.ref), securityGroupIds: [endpoints.attrGroupId],
      });
    }
    return subnets.map((subnet) => subnet.ref);
  }
}

