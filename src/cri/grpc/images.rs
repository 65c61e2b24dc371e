//! The image calls.

use super::{GrpcCri, gone_is_done};
use crate::cri::{Images, Result, v1};
use async_trait::async_trait;

fn named(image: &str) -> Option<v1::ImageSpec> {
    Some(v1::ImageSpec {
        image: image.to_owned(),
        ..Default::default()
    })
}

#[async_trait]
impl Images for GrpcCri {
    async fn list_images(&self) -> Result<Vec<v1::Image>> {
        let request = v1::ListImagesRequest { filter: None };
        let reply = self
            .call("ListImages", self.images.clone().list_images(request))
            .await?;
        Ok(reply.images)
    }

    async fn image_status(&self, image: &str) -> Result<Option<v1::Image>> {
        let request = v1::ImageStatusRequest {
            image: named(image),
            verbose: false,
        };
        let reply = self
            .call("ImageStatus", self.images.clone().image_status(request))
            .await?;
        Ok(reply.image)
    }

    async fn pull_image(
        &self,
        image: &v1::ImageSpec,
        auth: Option<&v1::AuthConfig>,
        sandbox_config: Option<&v1::PodSandboxConfig>,
    ) -> Result<String> {
        let request = v1::PullImageRequest {
            image: Some(image.clone()),
            auth: auth.cloned(),
            sandbox_config: sandbox_config.cloned(),
        };
        let reply = self
            .within("PullImage", None, self.images.clone().pull_image(request))
            .await?;
        Ok(reply.image_ref)
    }

    async fn remove_image(&self, image: &str) -> Result<()> {
        let request = v1::RemoveImageRequest { image: named(image) };
        gone_is_done(
            self.call("RemoveImage", self.images.clone().remove_image(request))
                .await,
        )
    }

    async fn image_fs_info(&self) -> Result<v1::ImageFsInfoResponse> {
        let request = v1::ImageFsInfoRequest {};
        self.call("ImageFsInfo", self.images.clone().image_fs_info(request))
            .await
    }
}
