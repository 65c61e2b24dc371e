//! PURE. What the configuration says about images: when they are removed, how they are pulled, who may use them.

use super::gates;
use super::settings::Settings;
use super::{Error, Flags, ImageGcConfig, PullLimits, PullVerification, check};
use std::path::PathBuf;

pub(super) fn gc(settings: &Settings) -> Result<ImageGcConfig, Error> {
    let (high, low) = ("imageGCHighThresholdPercent", "imageGCLowThresholdPercent");
    let config = ImageGcConfig {
        min_age: settings.duration("imageMinimumGCAge"),
        max_age: settings.duration("imageMaximumGCAge"),
        high: settings.number(high),
        low: settings.number(low),
    };
    if config.low >= config.high {
        return Err(Error::new(
            low,
            format!("{} must be less than {high} {}", config.low, config.high),
        ));
    }
    if !config.max_age.is_zero() && config.max_age <= config.min_age {
        return Err(Error::new(
            "imageMaximumGCAge",
            "it must be greater than imageMinimumGCAge",
        ));
    }
    Ok(config)
}

pub(super) fn pulls(settings: &Settings) -> Result<PullLimits, Error> {
    let (serial, most) = ("serializeImagePulls", "maxParallelImagePulls");
    let parallel: Option<usize> = settings.is_given(most).then(|| settings.number(most));
    let several = parallel.is_some_and(|n| n > 1);
    let serialized = settings.on(serial);
    if serialized && several {
        let problem =
            "it cannot be larger than 1 unless serializeImagePulls (--serialize-image-pulls) is false";
        return Err(Error::new(most, problem));
    }
    Ok(PullLimits {
        parallel: if serialized { Some(1) } else { parallel },
        per_second: settings.number("registryPullQPS"),
        burst: settings.number("registryBurst"),
    })
}

pub(super) fn verification(settings: &Settings) -> Result<PullVerification, Error> {
    let list = "preloadedImagesVerificationAllowlist";
    if !gates::Set(settings.value("featureGates")).ensure_pulled() {
        let given = ["imagePullCredentialsVerificationPolicy", list]
            .into_iter()
            .find(|field| settings.is_given(field));
        return given.map_or(Ok(PullVerification::Never), |field| {
            let problem = format!(
                "it is for feature gate {} only, which is off",
                gates::ENSURE_PULLED
            );
            Err(Error::new(field, problem))
        });
    }
    let patterns: Vec<Box<str>> = settings.texts(list).map(Into::into).collect();
    let policy = match settings.text("imagePullCredentialsVerificationPolicy") {
        "NeverVerify" => PullVerification::Never,
        "AlwaysVerify" => PullVerification::Always,
        "NeverVerifyAllowlistedImages" => {
            if let Some(bad) = patterns.iter().find(|pattern| !is_image_pattern(pattern)) {
                let problem = format!(
                    "{bad:?} is neither an image's name without tag and digest nor HOST/*, HOST/PATH/*"
                );
                return Err(Error::new(list, problem));
            }
            return Ok(PullVerification::NotListed(patterns));
        }
        _ => PullVerification::Pulled,
    };
    if !patterns.is_empty() {
        let problem = "it is for imagePullCredentialsVerificationPolicy NeverVerifyAllowlistedImages only";
        return Err(Error::new(list, problem));
    }
    Ok(policy)
}

fn is_image_pattern(pattern: &str) -> bool {
    let name = pattern.strip_suffix("/*").unwrap_or(pattern);
    let last = name.rsplit('/').next().unwrap_or_default();
    let whole = name == pattern;
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '*' | '@');
    let tagged = whole && last.contains(':');
    !last.is_empty() && !name.contains(odd) && !tagged
}

pub(super) fn providers(flags: &Flags) -> Result<Option<(PathBuf, PathBuf)>, Error> {
    let (config, dir) = (
        "--image-credential-provider-config",
        "--image-credential-provider-bin-dir",
    );
    let given = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
    let paths = (
        given(&flags.image_credential_provider_config),
        given(&flags.image_credential_provider_bin_dir),
    );
    let absolute = |flag, path: PathBuf| check::absolute(&path).map_err(|problem| Error::new(flag, problem));
    match paths {
        (None, None) => Ok(None),
        (Some(_), None) => Err(Error::new(dir, format!("is not set, but {config} is"))),
        (None, Some(_)) => Err(Error::new(config, format!("is not set, but {dir} is"))),
        (Some(file), Some(programs)) => Ok(Some((absolute(config, file)?, absolute(dir, programs)?))),
    }
}

#[cfg(test)]
mod tests;
