//! Faults at random points, and waiting without guessing how long.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Polls `work` at most `polls` times and drops it there. Answers what it finished with, if it came
/// to its end.
pub async fn cancel_after<F: Future>(work: F, polls: u32) -> Option<F::Output> {
    let mut left = polls;
    let mut work = pin!(work);
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match work.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // Dropped right after its last step, and not when it is woken for the next.
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// [`cancel_after`] a number of polls between 0 and 40 that follows from `seed`; small ones are
/// likelier.
pub async fn cancel_at_random<F: Future>(work: F, seed: u64) -> Option<F::Output> {
    let mut random = StdRng::seed_from_u64(seed);
    let most = random.random_range(0..=40_u32);
    cancel_after(work, random.random_range(0..=most)).await
}

/// Waits until `condition` holds, looking every 5 ms.
///
/// # Panics
/// After 10 s.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let look = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(10), look).await.is_ok(),
        "for 10 s it was not so that {what}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_cut_at_every_point() {
        let mut finished = 0;
        let mut reached = [0_u32; 4];
        for seed in 0..400 {
            let mut steps = 0;
            let work = async {
                for _ in 0..3 {
                    steps += 1;
                    tokio::task::yield_now().await;
                }
            };
            finished += u32::from(cancel_at_random(work, seed).await.is_some());
            reached[steps] += 1;
        }
        assert!(reached.iter().all(|n| *n > 0) && finished > 0, "{reached:?} {finished}");
    }
}
