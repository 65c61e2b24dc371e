use super::*;
use crate::telemetry::Metrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family as Registered;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

fn shown(value: f64) -> String {
    let mut text = String::new();
    number(&mut text, value);
    text
}

#[test]
fn numbers_as_go_prints_them() {
    let cases = [
        (0.0, "0"),
        (1.0, "1"),
        (-1.0, "-1"),
        (3.688_113_603, "3.688113603"),
        (290_816.0, "290816"),
        (1_064_960.0, "1.06496e+06"),
        (1.795_258_758e9, "1.795258758e+09"),
        (0.000_01, "1e-05"),
        (f64::INFINITY, "+Inf"),
    ];
    for (value, wanted) in cases {
        assert_eq!(shown(value), wanted);
    }
}

#[test]
fn a_family_with_labels_and_time() {
    let mut family = Family::new("x_bytes", Kind::Gauge, "Words");
    let mut text = String::new();
    family.write(&mut text);
    assert_eq!(text, "", "a family without samples is not shown");
    family.add(&[("pod", "a\"b\\c\nd")], 2.0, Some(17));
    family.add(&[], 3.0, None);
    family.write(&mut text);
    assert_eq!(
        text,
        "# HELP x_bytes Words\n# TYPE x_bytes gauge\nx_bytes{pod=\"a\\\"b\\\\c\\nd\"} 2 17\nx_bytes 3\n"
    );
}

#[test]
fn the_registry_in_the_classic_format() {
    let metrics = Metrics::new();
    let requests = Registered::<Vec<(&'static str, &'static str)>, Counter>::default();
    let took = Histogram::new([0.005, 1.0]);
    metrics.register(|registry| {
        registry.register("requests", "Requests seen", requests.clone());
        registry.register("up", "Whether it is up", Gauge::<i64>::default());
        registry.register("took_seconds", "How long", took.clone());
    });
    requests.get_or_create(&vec![("code", "200")]).inc();
    took.observe(0.5);
    assert_eq!(
        classic(&metrics.encode()),
        "# HELP requests_total Requests seen
# TYPE requests_total counter
requests_total{code=\"200\"} 1
# HELP up Whether it is up
# TYPE up gauge
up 0
# HELP took_seconds How long
# TYPE took_seconds histogram
took_seconds_sum 0.5
took_seconds_count 1
took_seconds_bucket{le=\"0.005\"} 0
took_seconds_bucket{le=\"1\"} 1
took_seconds_bucket{le=\"+Inf\"} 1
"
    );
}
