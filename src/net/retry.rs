//! Counts attempts and waits between them. The caller decides with [`Again`] which failures to retry.
//!
//! The statuses that are retried are stated next to the calls: `TRANSIENT` in `dagster/client.rs`, `dagster/artifacts.rs` and
//! `net/download.rs`, and `github/api.rs`.

use crate::host::Clock;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, SystemTime};

/// How often to retry, and how long to wait before each attempt.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Attempts after the first.
    pub retries: u32,
    /// Pause before the first retry. Each later pause is twice as long.
    pub first_pause: Duration,
    /// Upper limit of a pause, even if the server asks for a longer one.
    pub longest_pause: Duration,
    /// Source of jitter: a number from 0 (inclusive) to 1. A pause becomes up to a quarter longer, so that jobs that
    /// failed together do not retry together. `Retry-After` gets no jitter.
    pub jitter: fn() -> f64,
}

impl Backoff {
    /// For API calls: 3 retries after 1, 2 and 4 s, as in dagster-cloud-cli.
    pub const API: Backoff = Backoff {
        retries: 3,
        first_pause: Duration::from_secs(1),
        longest_pause: Duration::from_secs(120),
        jitter: random,
    };
    /// For calls that have retries of their own, where waiting only costs time: 12 more attempts in about two minutes.
    pub const PATIENT: Backoff = Backoff {
        retries: 12,
        first_pause: Duration::from_millis(500),
        longest_pause: Duration::from_secs(15),
        jitter: random,
    };
    /// For downloads: 4 retries after 0.5, 1, 2 and 4 s.
    pub const DOWNLOAD: Backoff = Backoff {
        retries: 4,
        first_pause: Duration::from_millis(500),
        longest_pause: Duration::from_secs(60),
        jitter: random,
    };
    /// For uploads: 6 retries after 0.5 to 16 s.
    pub const UPLOAD: Backoff = Backoff {
        retries: 6,
        first_pause: Duration::from_millis(500),
        longest_pause: Duration::from_secs(120),
        jitter: random,
    };

    /// For questions that a run can do without: one retry after half a second.
    pub const QUESTION: Backoff = Backoff {
        retries: 1,
        first_pause: Duration::from_millis(500),
        longest_pause: Duration::from_secs(2),
        jitter: random,
    };

    /// The same without jitter, for tests that compare pauses.
    pub const fn without_jitter(mut self) -> Backoff {
        self.jitter = || 0.0;
        self
    }

    /// Pause before retry `number`, which counts from 1.
    fn pause(&self, number: u32, retry_after: Option<Duration>) -> Duration {
        // `Retry-After: 0` or a date in the past must not lead to retries without a pause.
        let pause = retry_after.filter(|asked| !asked.is_zero()).unwrap_or_else(|| {
            let doubled = self.first_pause.saturating_mul(2_u32.saturating_pow(number.saturating_sub(1)));
            doubled.mul_f64(1.0 + 0.25 * (self.jitter)())
        });
        pause.min(self.longest_pause)
    }
}

/// A number from 0 to 1, different in every process and call. Quality does not matter, so the keys of std's hasher are
/// good enough.
pub fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(bits >> 32).unwrap_or_default()) / (f64::from(u32::MAX) + 1.0)
}

/// A failed attempt, and whether to retry.
#[derive(Debug)]
pub enum Again<E> {
    /// No: this is the final error.
    No(E),
    /// Yes, after `retry_after` if the server asked for a pause.
    After {
        /// The error; final if no attempt is left.
        error: E,
        /// From the `Retry-After` header, see [`retry_after`].
        retry_after: Option<Duration>,
    },
}

impl<E> Again<E> {
    /// The same with another error.
    pub fn map<F>(self, change: impl FnOnce(E) -> F) -> Again<F> {
        match self {
            Again::No(error) => Again::No(change(error)),
            Again::After { error, retry_after } => Again::After { error: change(error), retry_after },
        }
    }
}

/// The result when all attempts failed.
#[derive(Debug)]
pub struct Failed<E> {
    /// Number of attempts, including the first.
    pub attempts: u32,
    /// The last failure.
    pub error: E,
}

/// Call `attempt` (with its number, from 1) until it succeeds, gives up, or no retry is left.
///
/// # Errors
/// Those of the last attempt.
pub fn run<T, E>(
    backoff: &Backoff,
    clock: &dyn Clock,
    mut attempt: impl FnMut(u32) -> Result<T, Again<E>>,
) -> Result<T, Failed<E>> {
    let mut number = 1;
    loop {
        match attempt(number) {
            Ok(value) => return Ok(value),
            Err(Again::After { retry_after, .. }) if number <= backoff.retries => {
                clock.sleep(backoff.pause(number, retry_after));
                number += 1;
            }
            Err(Again::No(error) | Again::After { error, .. }) => {
                return Err(Failed { attempts: number, error });
            }
        }
    }
}

/// The pause that a `Retry-After` header asks for: integer seconds, or an HTTP date.
///
/// Zero for a date in the past; `None` for a value of neither form. Source: RFC 9110, section 10.2.3.
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tests::RecordingClock;

    /// Pauses and result of attempts that fail with these `Retry-After` values and then succeed.
    fn pauses(backoff: &Backoff, asked: &[Option<u64>]) -> (Vec<f64>, Result<u32, u32>) {
        let clock = RecordingClock::default();
        let outcome = run(backoff, &clock, |number| match asked.get(number as usize - 1) {
            Some(asked) => Err(Again::After { error: (), retry_after: asked.map(Duration::from_secs) }),
            None => Ok(number),
        });
        let slept = clock.slept().iter().map(Duration::as_secs_f64).collect();
        (slept, outcome.map_err(|failed| failed.attempts))
    }

    #[test]
    fn pauses_double_unless_the_server_names_one() {
        let api = Backoff::API.without_jitter();
        for (asked, want, outcome) in [
            (&[][..], &[][..], Ok(1)),
            (&[None], &[1.0], Ok(2)),
            (&[None, None, None], &[1.0, 2.0, 4.0], Ok(4)),
            (&[None, None, None, None], &[1.0, 2.0, 4.0], Err(4)),
            (&[Some(7), None], &[7.0, 2.0], Ok(3)),
            (&[Some(0)], &[1.0], Ok(2)),
            (&[Some(100_000)], &[120.0], Ok(2)),
        ] {
            assert_eq!(pauses(&api, asked), (want.to_vec(), outcome), "{asked:?}");
        }
    }

    #[test]
    fn jitter_lengthens_computed_pauses_only() {
        let most = Backoff { jitter: || 1.0, ..Backoff::API };
        assert_eq!(pauses(&most, &[None, Some(7)]).0, [1.25, 7.0]);
        assert!((0..100).all(|_| (0.0..1.0).contains(&random())));
        assert_ne!(random(), random());
    }

    #[test]
    fn a_final_failure_is_not_retried() {
        let clock = RecordingClock::default();
        let failed = run::<(), _>(&Backoff::API, &clock, |_| Err(Again::No("no"))).unwrap_err();
        assert_eq!((failed.attempts, failed.error), (1, "no"));
        assert!(clock.slept().is_empty());
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, want) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
            ("1.5", None),
        ] {
            assert_eq!(retry_after(value, now), want.map(Duration::from_secs), "{value}");
        }
    }
}
