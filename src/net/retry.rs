//! Counting and waiting between tries. What is worth another try, the caller says with [`Again`].

use crate::host::Clock;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, SystemTime};

/// How often to try again, and how long to wait before each.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Tries after the first.
    pub retries: u32,
    /// Pause before the first retry; each further pause is twice as long.
    pub first_pause: Duration,
    /// No pause is longer, not even one that the server asks for.
    pub longest_pause: Duration,
    /// Where jitter comes from: a number from 0 (inclusive) to 1. A pause is lengthened by up to a quarter of itself,
    /// so that jobs which failed together do not come back together. `Retry-After` gets none.
    pub jitter: fn() -> f64,
}

impl Backoff {
    /// For calls of an API: 3 retries after 1, 2 and 4 s, as dagster-cloud-cli does it.
    pub const API: Backoff = Backoff {
        retries: 3,
        first_pause: Duration::from_secs(1),
        longest_pause: Duration::from_secs(120),
        jitter: random,
    };
    /// Around calls that are tried again already, where waiting costs nothing but time: 12 tries more, over about two
    /// minutes.
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

    /// The same without jitter, for tests that compare pauses.
    pub const fn without_jitter(mut self) -> Backoff {
        self.jitter = || 0.0;
        self
    }

    /// Pause before retry `number`, which counts from 1.
    fn pause(&self, number: u32, retry_after: Option<Duration>) -> Duration {
        let pause = retry_after.filter(|asked| !asked.is_zero()).unwrap_or_else(|| {
            let doubled = self.first_pause.saturating_mul(2_u32.saturating_pow(number.saturating_sub(1)));
            doubled.mul_f64(1.0 + 0.25 * (self.jitter)())
        });
        pause.min(self.longest_pause)
    }
}

/// A number from 0 to 1, different in every process and call. Quality does not matter here, so std's hash keys do.
pub fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(bits >> 32).unwrap_or_default()) / (f64::from(u32::MAX) + 1.0)
}

/// A try that failed, and whether it is worth another.
#[derive(Debug)]
pub enum Again<E> {
    /// No: this is the outcome.
    No(E),
    /// Yes, after `retry_after` if the server asked for a pause.
    After {
        /// What failed; the outcome if no try is left.
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

/// What came of all tries, when none worked.
#[derive(Debug)]
pub struct Failed<E> {
    /// How many tries there were, the first included.
    pub attempts: u32,
    /// The last failure.
    pub error: E,
}

/// Call `attempt` (with the number of the try, from 1) until it works, gives up, or no retry is left.
///
/// # Errors
/// The last try's.
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
/// A date in the past is no pause; a value of neither form is `None`.
/// Source: RFC 9110, section 10.2.3.
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

    /// Pauses and result of tries that ask for these `Retry-After` values and then work.
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
    fn a_failure_that_is_final_is_not_tried_again() {
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
