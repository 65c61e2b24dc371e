//! One watch, several readers: the same objects (shared, not copied) for each.

use crate::api::Change;
use crate::model::Object;
use tokio::sync::mpsc;

/// Changes one reader may be behind before all wait for it.
const QUEUE: usize = 64;

/// Passes every change on to `N` readers, in order. A reader that is gone is left out; when all are gone, or the
/// source ends, so does this.
pub fn fan_out<T: Object, const N: usize>(
    mut source: mpsc::Receiver<Change<T>>,
) -> [mpsc::Receiver<Change<T>>; N] {
    let mut readers = Vec::with_capacity(N);
    let outputs = std::array::from_fn(|_| {
        let (reader, output) = mpsc::channel(QUEUE);
        readers.push(reader);
        output
    });
    tokio::spawn(async move {
        while let Some(change) = source.recv().await {
            let mut left = Vec::with_capacity(readers.len());
            for reader in readers {
                if reader.send(change.clone()).await.is_ok() {
                    left.push(reader);
                }
            }
            readers = left;
            if readers.is_empty() {
                return;
            }
        }
    });
    outputs
}

#[cfg(test)]
mod tests;
