/** A template that a person uploads: no bootstrap, no assets, nothing to be fetched beside it. */
import {
  type DockerImageAssetLocation, type DockerImageAssetSource, type FileAssetLocation, type FileAssetSource, type ISynthesisSession,
  StackSynthesizer,
} from 'aws-cdk-lib';

export class OneFile extends StackSynthesizer {
  addFileAsset(asset: FileAssetSource): FileAssetLocation {
    throw new Error(`the template must stand alone, and needs the file \`${asset.fileName}\` beside it`);
  }

  addDockerImageAsset(asset: DockerImageAssetSource): DockerImageAssetLocation {
    throw new Error(`the template must stand alone, and needs the image of \`${asset.directoryName}\` beside it`);
  }

  synthesize(session: ISynthesisSession): void {
    this.synthesizeTemplate(session);
    this.emitArtifact(session);
  }
}
