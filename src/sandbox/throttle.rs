//! Microsoft Graph's limits for identity and access, as token buckets
//! (<https://learn.microsoft.com/en-us/graph/throttling-limits>).

use std::{collections::HashMap, time::Instant};

use super::{
    graph::caller::Caller,
    http::{Request, form_pairs},
    operation::{Effect, Operation},
    schema::Refusal,
    world::{World, directory::Size},
};

/// The price of a request in resource units.
pub(super) fn units(operation: Operation, request: &Request) -> u32 {
    use Operation as O;
    let base: i64 = match operation {
        O::ListApplications
        | O::GetApplication
        | O::ListGrants
        | O::GetGrant
        | O::ListServicePrincipalGrants
        | O::ListAppRoleAssignments
        | O::GetAppRoleAssignment => 2,
        _ => 1,
    };
    let mut price = base;
    for (name, value) in form_pairs(request.query.as_deref().unwrap_or_default().as_bytes()) {
        match name.trim_start_matches('$').to_ascii_lowercase().as_str() {
            "select" => price -= 1,
            "expand" => price += 1,
            "top" if value.parse::<u32>().is_ok_and(|n| n < 20) => price -= 1,
            _ => {}
        }
    }
    u32::try_from(price.max(1)).unwrap_or(1)
}

/// A bucket that fills by itself.
#[derive(Debug)]
struct Bucket {
    capacity: f64,
    per_second: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    fn new(capacity: f64, seconds: f64, now: Instant) -> Self {
        Self { capacity, per_second: capacity / seconds, level: capacity, at: now }
    }

    /// Takes from the bucket; when it is too empty, the seconds until it is not. What is asked
    /// for while it is empty counts too, down to a whole bucket of debt.
    fn take(&mut self, amount: f64, now: Instant) -> Result<(), u64> {
        let passed = now.duration_since(self.at).as_secs_f64();
        self.at = now;
        self.level = (self.level + passed * self.per_second).min(self.capacity);
        self.level = (self.level - amount).max(-self.capacity);
        if self.level >= 0.0 {
            return Ok(());
        }
        let seconds = (-self.level / self.per_second).ceil().max(1.0);
        // At most twice the time that a bucket takes to fill.
        Err(seconds as u64)
    }

    fn used(&self) -> f64 {
        1.0 - self.level / self.capacity
    }
}

#[derive(Debug)]
struct Buckets {
    units: Bucket,
    writes: Bucket,
}

/// The buckets of every pair of app and directory.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    pairs: HashMap<(String, String), Buckets>,
    vaults: HashMap<String, Bucket>,
    defenders: HashMap<(String, String), [Bucket; 2]>,
}

/// A request that must wait.
#[derive(Debug)]
pub(super) struct Throttled {
    /// 429.
    pub(super) refusal: Refusal,
    /// `Retry-After` and the headers that say why.
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Throttle {
    /// Counts a request to a key vault, which takes 4,000 in ten seconds
    /// (<https://learn.microsoft.com/en-us/azure/key-vault/general/service-limits>).
    ///
    /// # Errors
    /// The seconds to wait.
    pub(super) fn admit_to_vault(&mut self, vault: &str) -> Result<(), u64> {
        let now = Instant::now();
        let bucket =
            self.vaults.entry(vault.to_owned()).or_insert_with(|| Bucket::new(4_000.0, 10.0, now));
        bucket.take(1.0, now)
    }

    /// Counts a request to the Defender XDR API, which takes 50 a minute and 1,500 an hour of an app
    /// in a tenant (<https://learn.microsoft.com/en-us/defender-xdr/api-list-incidents>).
    ///
    /// # Errors
    /// The seconds to wait.
    pub(super) fn admit_to_defender(&mut self, caller: &Caller) -> Result<(), u64> {
        let now = Instant::now();
        let buckets = self
            .defenders
            .entry((caller.app_id.clone(), caller.tenant.clone()))
            .or_insert_with(|| [Bucket::new(50.0, 60.0, now), Bucket::new(1_500.0, 3_600.0, now)]);
        let waits = buckets.iter_mut().filter_map(|bucket| bucket.take(1.0, now).err());
        waits.max().map_or(Ok(()), Err)
    }

    /// Counts a request; the headers that its answer gets, or the refusal.
    pub(super) fn admit(
        &mut self,
        world: &World,
        caller: &Caller,
        operation: Operation,
        units: u32,
    ) -> Result<Vec<(&'static str, String)>, Throttled> {
        self.admit_at(world, caller, operation, units, Instant::now())
    }

    fn admit_at(
        &mut self,
        world: &World,
        caller: &Caller,
        operation: Operation,
        units: u32,
        now: Instant,
    ) -> Result<Vec<(&'static str, String)>, Throttled> {
        let size = world.directory(&caller.tenant).map_or(Size::Small, |d| d.meta.size);
        let per_ten_seconds = match size {
            Size::Small => 3_500.0,
            Size::Medium => 5_000.0,
            Size::Large => 8_000.0,
        };
        let buckets = self
            .pairs
            .entry((caller.app_id.clone(), caller.tenant.clone()))
            .or_insert_with(|| Buckets {
                units: Bucket::new(per_ten_seconds, 10.0, now),
                writes: Bucket::new(3_000.0, 150.0, now),
            });
        let by_units = buckets.units.take(f64::from(units), now);
        let by_writes = match operation.effect() {
            Effect::Read => Ok(()),
            Effect::Write => buckets.writes.take(1.0, now),
        };
        let (seconds, limit, why) = match (by_units, by_writes) {
            (Ok(()), Ok(())) => {
                let used = buckets.units.used();
                return Ok(if used >= 0.8 {
                    vec![("x-ms-throttle-limit-percentage", format!("{used:.1}"))]
                } else {
                    Vec::new()
                });
            }
            (_, Err(seconds)) => (seconds, "Write", "WriteLimitExceeded"),
            (Err(seconds), Ok(())) => (seconds, "ReadWrite", "ResourceUnitLimitExceeded"),
        };
        Err(Throttled {
            refusal: Refusal::new(
                429,
                "TooManyRequests",
                "Too many requests. Please wait and try again.",
            ),
            headers: vec![
                ("retry-after", seconds.to_string()),
                (
                    "x-ms-throttle-scope",
                    format!("Tenant_Application/{limit}/{}/{}", caller.app_id, caller.tenant),
                ),
                ("x-ms-throttle-information", why.to_owned()),
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn writes_run_dry_and_come_back() {
        let caller = Caller {
            tenant: "t".to_owned(),
            app_id: "a".to_owned(),
            object_id: String::new(),
            user_roles: None,
            permissions: Vec::new(),
        };
        let world = World::default();
        let mut throttle = Throttle::default();
        let now = Instant::now();
        let write = Operation::AddPassword;
        for _ in 0..3_000 {
            assert!(throttle.admit_at(&world, &caller, write, 1, now).is_ok());
        }
        let refused = throttle.admit_at(&world, &caller, write, 1, now).unwrap_err();
        assert_eq!(refused.refusal.status, 429);
        assert_eq!(refused.headers[0], ("retry-after", "1".to_owned()));
        assert!(refused.headers[1].1.starts_with("Tenant_Application/Write/a/t"));
        let read = throttle.admit_at(&world, &caller, Operation::ListApplications, 2, now).unwrap();
        assert_eq!(read[0].0, "x-ms-throttle-limit-percentage");
        let later = now + Duration::from_secs(2);
        assert!(throttle.admit_at(&world, &caller, write, 1, later).is_ok());
    }
}
