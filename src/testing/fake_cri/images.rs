//! The image half of the fake.

use super::{FakeCri, error};
use crate::cri::{self, Images, v1};
use crate::kubelet::images::reference;
use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tonic::Code;

/// `redis` → `docker.io/library/redis:latest`; what is no image name stays as it is.
pub(super) fn full_name(name: &str) -> String {
    let Ok(r) = reference::parse(name) else {
        return name.to_owned();
    };
    let name = format!("{}/{}", r.domain, r.path);
    match (r.digest, r.tag) {
        (Some(digest), _) => format!("{name}@{digest}"),
        (None, tag) => format!("{name}:{}", tag.unwrap_or("latest")),
    }
}

/// An image whose id and size follow from its name.
pub(super) fn made_up(name: &str) -> v1::Image {
    let name = full_name(name);
    let digest = Sha256::digest(name.as_bytes());
    let digest: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    let repository = name
        .rsplit_once([':', '@'])
        .map_or(&*name, |(r, _)| r)
        .trim_end_matches("@sha256");
    v1::Image {
        id: format!("sha256:{digest}"),
        repo_digests: vec![format!("{repository}@sha256:{digest}")],
        size: 1000 + name.len() as u64,
        repo_tags: vec![name],
        ..Default::default()
    }
}

fn is_named(image: &v1::Image, name: &str) -> bool {
    let full = full_name(name);
    image.id == name || image.repo_tags.contains(&full) || image.repo_digests.contains(&full)
}

impl super::State {
    pub(super) fn find_image(&self, name: &str) -> Option<&v1::Image> {
        self.images.values().find(|i| is_named(i, name))
    }
}

#[async_trait]
impl Images for FakeCri {
    async fn list_images(&self) -> cri::Result<Vec<v1::Image>> {
        Ok(self.call("ListImages")?.images.values().cloned().collect())
    }

    async fn image_status(&self, image: &str) -> cri::Result<Option<v1::Image>> {
        Ok(self.call("ImageStatus")?.find_image(image).cloned())
    }

    async fn pull_image(
        &self,
        image: &v1::ImageSpec,
        auth: Option<&v1::AuthConfig>,
        _sandbox_config: Option<&v1::PodSandboxConfig>,
    ) -> cri::Result<String> {
        let name = full_name(&image.image);
        {
            let mut state = self.call("PullImage")?;
            let user = auth.map(|a| format!(" as {}", a.username)).unwrap_or_default();
            state.note(format!("PullImage {name}{user}"));
        }
        self.0
            .pull_gate
            .acquire()
            .await
            .expect("the gate is never closed")
            .forget();
        let mut state = self.call("PullImage")?;
        if let Some(words) = state.broken_pulls.get(&name) {
            return Err(error("PullImage", Code::Unknown, words.clone()));
        }
        let Some(found) = state.registry.get(&name).cloned() else {
            let words = format!("failed to resolve image: {name}: not found");
            return Err(error("PullImage", Code::NotFound, words));
        };
        let id = found.id.clone();
        state.images.insert(id.clone(), found);
        Ok(id)
    }

    async fn remove_image(&self, image: &str) -> cri::Result<()> {
        let mut state = self.call("RemoveImage")?;
        state.note(format!("RemoveImage {image}"));
        state.images.retain(|_, i| !is_named(i, image));
        Ok(())
    }

    async fn image_fs_info(&self) -> cri::Result<v1::ImageFsInfoResponse> {
        let state = self.call("ImageFsInfo")?;
        let used = state.images.values().map(|i| i.size).sum();
        Ok(v1::ImageFsInfoResponse {
            image_filesystems: vec![v1::FilesystemUsage {
                timestamp: state.now(),
                fs_id: Some(v1::FilesystemIdentifier {
                    mountpoint: "/var/lib/fake".into(),
                }),
                used_bytes: Some(v1::UInt64Value { value: used }),
                inodes_used: None,
            }],
            container_filesystems: Vec::new(),
        })
    }
}
