use super::*;
use crate::model::pod::EnvVar;

fn spec(name: &str, image: &str) -> Container {
    Container {
        name: name.into(),
        image: image.into(),
        ..Container::default()
    }
}

#[test]
fn equals_the_hash_upstream_keeps_stable() {
    // The value Kubernetes' own tests pin since v1.31 for this name and image.
    assert_eq!(container(&spec("test_container", "foo/image:v1")), "8e45cbd0");
}

#[test]
fn only_name_and_image_count() {
    let mut changed = spec("web", "nginx:1");
    let before = container(&changed);
    changed.env.push(EnvVar {
        name: "A".into(),
        ..EnvVar::default()
    });
    changed.args.push("x".into());
    assert_eq!(container(&changed), before);
    assert_ne!(container(&spec("web", "nginx:2")), before);
    assert_ne!(container(&spec("web2", "nginx:1")), before);
}

#[test]
fn strings_are_escaped_as_go_escapes_them() {
    assert_eq!(go_json("a<b>&\"\u{2028}"), r#""a\u003cb\u003e\u0026\"\u2028""#);
}
