//! PURE. Image names: what is valid, and the default tag (grammar: `distribution/reference`).

/// An image name, taken apart and completed: `redis` is `docker.io` / `library/redis`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    /// Registry host, with port if any.
    pub domain: &'a str,
    /// Path in the registry.
    pub path: String,
    /// Tag, if written.
    pub tag: Option<&'a str>,
    /// Digest as `sha256:…`, if written.
    pub digest: Option<&'a str>,
}

/// Why a name is no image name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Anything the grammar does not know.
    #[error("invalid reference format")]
    Format,
    /// Upper-case letters in the path.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    UpperCase(String),
    /// 64 hexadecimal digits look like an image id.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Identifier(String),
    /// A path of more than 255 characters.
    #[error("repository name must not be more than 255 characters")]
    TooLong,
    /// A digest of an algorithm nobody knows.
    #[error("unsupported digest algorithm")]
    DigestAlgorithm,
    /// A digest of the wrong length.
    #[error("invalid checksum digest length")]
    DigestLength,
}

/// The name the runtime is asked for: `:latest` is added when there is neither tag nor digest. The rest stays as it
/// was written; short names are completed by the runtime.
pub fn with_default_tag(image: &str) -> Result<String, ReferenceError> {
    let reference = parse(image)?;
    Ok(match (reference.tag, reference.digest) {
        (None, None) => format!("{image}:latest"),
        _ => image.to_owned(),
    })
}

/// Registry and path, completed: what credentials are looked up by.
pub fn repository(image: &str) -> Result<String, ReferenceError> {
    let reference = parse(image)?;
    Ok(format!("{}/{}", reference.domain, reference.path))
}

/// The name as it is written, without tag and digest; `None` for what is no name.
pub fn without_tag(image: &str) -> Option<&str> {
    let reference = parse(image).ok()?;
    let cut = |name: &'_ str, mark: char, part: Option<&str>| match part {
        Some(part) => name.len() - part.len() - mark.len_utf8(),
        None => name.len(),
    };
    let name = &image[..cut(image, '@', reference.digest)];
    Some(&name[..cut(name, ':', reference.tag)])
}

/// Takes a name apart.
pub fn parse(image: &str) -> Result<Reference<'_>, ReferenceError> {
    if image.len() == 64
        && image
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    {
        return Err(ReferenceError::Identifier(image.to_owned()));
    }
    let (domain, rest) = split_domain(image);
    let before_tag = rest.split(':').next().unwrap_or(rest);
    let library = if domain == DOCKER_HUB && !rest.contains('/') {
        "library/"
    } else {
        ""
    };
    if before_tag.chars().any(char::is_uppercase) {
        return Err(ReferenceError::UpperCase(format!("{library}{before_tag}")));
    }
    let (rest, digest) = match rest.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (rest, None),
    };
    let (name, tag) = match rest.split_once(':') {
        Some((name, tag)) => (name, Some(tag)),
        None => (rest, None),
    };
    let path = format!("{library}{name}");
    // What looks like a host but is none may still be the first part of a path.
    let named = is_path(&path) && (is_domain(domain) || is_path(&format!("{domain}/{path}")));
    if !named || !tag.is_none_or(is_tag) {
        return Err(ReferenceError::Format);
    }
    digest.map_or(Ok(()), check_digest)?;
    if path.len() > 255 {
        return Err(ReferenceError::TooLong);
    }
    Ok(Reference {
        domain,
        path,
        tag,
        digest,
    })
}

const DOCKER_HUB: &str = "docker.io";

/// The first component is a host when it is `localhost`, has a dot or a colon, or an upper-case letter.
fn split_domain(image: &str) -> (&str, &str) {
    match image.split_once('/') {
        Some(("index.docker.io", rest)) => (DOCKER_HUB, rest),
        Some((host, rest))
            if host == "localhost" || host.contains(['.', ':']) || host.chars().any(char::is_uppercase) =>
        {
            (host, rest)
        }
        _ => (DOCKER_HUB, image),
    }
}

/// `host`, `a.b.c`, `10.0.0.1` or `[::1]`, and an optional port.
fn is_domain(text: &str) -> bool {
    let (host, port) = match text.rfind(']') {
        Some(end) if text.starts_with('[') => (&text[..=end], &text[end + 1..]),
        _ => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    let port_ok = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    let host_ok = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(inner) => !inner.is_empty() && inner.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'),
        None => host.split('.').all(|label| {
            label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
        }),
    };
    host_ok && port_ok
}

fn is_path(text: &str) -> bool {
    text.split('/').all(is_path_component)
}

/// Lower-case letters and digits, separated by one dot, one or two underscores, or any number of dashes.
fn is_path_component(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators: Vec<&str> = text.split(letter).filter(|s| !s.is_empty()).collect();
    text.starts_with(letter)
        && text.ends_with(letter)
        && separators
            .iter()
            .all(|s| matches!(*s, "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

fn check_digest(text: &str) -> Result<(), ReferenceError> {
    let (algorithm, hex) = text.split_once(':').ok_or(ReferenceError::Format)?;
    let name_ok = algorithm.split(['-', '_', '+', '.']).all(|part| {
        part.starts_with(|c: char| c.is_ascii_alphabetic()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    });
    if !name_ok || hex.len() < 32 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(ReferenceError::Format);
    }
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return Err(ReferenceError::DigestAlgorithm),
    };
    if hex.len() != length {
        return Err(ReferenceError::DigestLength);
    }
    match hex.bytes().any(|b| b.is_ascii_uppercase()) {
        true => Err(ReferenceError::Format),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
