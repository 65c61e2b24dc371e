//! Stopping a container: preStop hook, its turn, SIGTERM, SIGKILL, all within one grace period that may get shorter.

use super::{failed_kill, hooks};
use crate::api::EventType;
use crate::cri;
use crate::kubelet::context::Context;
use crate::kubelet::plan;
use crate::model::ContainerId;
use crate::model::pod::Pod;
use futures::stream::{FuturesUnordered, StreamExt};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A container always gets this long between SIGTERM and SIGKILL, seconds.
const MIN_GRACE: i64 = 2;

/// What to stop, and how.
#[derive(Clone, Debug)]
pub struct Stop {
    /// Which container.
    pub id: ContainerId,
    /// Its name.
    pub name: Box<str>,
    /// Message of the `Killing` event.
    pub message: Box<str>,
}

/// How long a stop may take, and whether it may begin; both may change while it is under way.
#[derive(Clone, Copy, Debug)]
struct Order {
    /// When the container is killed.
    deadline: Instant,
    /// False while it has to wait for others to end.
    turn: bool,
}

impl Order {
    fn new(seconds: i64, turn: bool) -> Self {
        let grace = Duration::try_from(plan::seconds(seconds)).unwrap_or_default();
        Self {
            deadline: Instant::now() + grace,
            turn,
        }
    }

    /// Whole seconds left; a hook that took less than a second took none.
    fn seconds_left(&self) -> i64 {
        let left = self.deadline.saturating_duration_since(Instant::now());
        i64::try_from(left.as_millis().div_ceil(1000)).unwrap_or(i64::MAX)
    }
}

/// What a stop is told while it is under way.
#[derive(Debug)]
pub struct Orders(watch::Receiver<Order>);

impl Orders {
    /// `seconds` between now and SIGKILL, and nobody to wait for.
    pub fn fixed(seconds: i64) -> Self {
        Steering::new(seconds, true).1
    }
}

/// The way to change a stop that is under way.
#[derive(Debug)]
pub struct Steering(watch::Sender<Order>);

impl Steering {
    /// `seconds` between now and SIGKILL; without `turn` it waits for one.
    pub fn new(seconds: i64, turn: bool) -> (Self, Orders) {
        let (sender, receiver) = watch::channel(Order::new(seconds, turn));
        (Self(sender), Orders(receiver))
    }

    /// Makes the end come sooner.
    pub fn hurry(&self, seconds: i64) {
        let new = Order::new(seconds, true);
        self.0
            .send_modify(|told| told.deadline = told.deadline.min(new.deadline));
    }

    /// There is nobody to wait for any more.
    pub fn release(&self) {
        self.0.send_modify(|told| told.turn = true);
    }
}

/// Runs the preStop hook, waits for the container's turn and stops it. Without grace there is no time for a hook.
pub async fn stop_container(
    context: &Context,
    pod: &Pod,
    stop: &Stop,
    Orders(mut order): Orders,
) -> Result<(), String> {
    let killing = ("Killing", stop.message.to_string());
    context.tell_container(pod, &stop.name, EventType::Normal, killing);
    let grace = order.borrow().seconds_left();
    tracing::info!(pod.uid = %pod.metadata.uid, container = %stop.name, grace, "stopping container: {}", stop.message);
    if grace > 0 {
        tokio::select! {
            () = pre_stop(context, pod, stop) => {}
            () = over(order.clone(), |_| false) => {
                tracing::info!(container = %stop.name, "preStop hook used up the grace period");
            }
        }
    }
    over(order.clone(), |order| order.turn).await;
    let stopped = call(context, stop, &mut order).await;
    stopped.map_err(|error| failed_kill(context, pod, &error))
}

async fn pre_stop(context: &Context, pod: &Pod, stop: &Stop) {
    let spec = pod.container(&stop.name).map(|(spec, _)| spec);
    let Some((container, hook)) = spec.and_then(|s| Some((s, s.lifecycle.as_ref()?.pre_stop.as_ref()?)))
    else {
        return;
    };
    let target = hooks::Target {
        context,
        pod,
        container,
        id: &stop.id,
    };
    if let Err(why) = hooks::run(hook, &target).await {
        tracing::warn!(pod.uid = %pod.metadata.uid, container = %stop.name, %why, "preStop hook failed");
        let told = ("FailedPreStopHook", "PreStopHook failed".to_owned());
        context.tell_container(pod, &stop.name, EventType::Warning, told);
    }
}

/// Waits until the grace period is over or `done` says so.
async fn over(mut order: watch::Receiver<Order>, done: impl Fn(&Order) -> bool) {
    loop {
        let now = *order.borrow_and_update();
        if done(&now) || now.deadline <= Instant::now() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep_until(now.deadline) => return,
            changed = order.changed() => if changed.is_err() {
                // Nobody can change it any more.
                return tokio::time::sleep_until(now.deadline).await;
            }
        }
    }
}

/// Asks the runtime, and once more each time the grace period gets shorter; the first answer counts.
async fn call(context: &Context, stop: &Stop, order: &mut watch::Receiver<Order>) -> cri::Result<()> {
    let ask = |seconds: i64| context.runtime.stop_container(&stop.id, seconds.max(MIN_GRACE));
    let mut asked = order.borrow_and_update().deadline;
    let mut calls = FuturesUnordered::from_iter([ask(order.borrow().seconds_left())]);
    let mut changes = true;
    loop {
        tokio::select! {
            Some(done) = calls.next() => return done,
            changed = order.changed(), if changes => {
                changes = changed.is_ok();
                let now = *order.borrow();
                if now.deadline < asked {
                    asked = now.deadline;
                    calls.push(ask(now.seconds_left()));
                }
            }
        }
    }
}
