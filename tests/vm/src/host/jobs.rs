//! Which tests run, on what, and which share a boot.

use std::collections::VecDeque;

use crate::test::{Controller, Test};
use crate::tests::TESTS;

/// One test on one controller.
#[derive(Clone, Copy)]
pub(crate) struct Job {
    pub(crate) name: &'static str,
    pub(crate) test: &'static Test,
    pub(crate) controller: Controller,
}

impl Job {
    /// As the report calls it.
    pub(crate) fn title(&self) -> String {
        format!("{}/{}", self.controller.name(), self.name)
    }
}

/// The jobs of a list, the controls among them: a runner that cannot fail is worth nothing. With names, those of all
/// whose title has one of them in it.
pub(crate) fn choose(full: bool, names: &[String]) -> Result<Vec<Job>, String> {
    let all = Controller::ALL.into_iter().flat_map(|controller| {
        let here = TESTS.iter().filter(move |(_, test)| test.controllers.contains(&controller));
        here.map(move |(name, test)| Job { name, test, controller })
    });
    let jobs: Vec<Job> = if names.is_empty() {
        all.filter(|job| full || !job.test.full_only).collect()
    } else {
        all.filter(|job| names.iter().any(|name| job.title().contains(name.as_str()))).collect()
    };
    if jobs.is_empty() { Err(format!("no test is called {}", names.join(" or "))) } else { Ok(jobs) }
}

/// Jobs by boot, controls first.
pub(crate) fn boots(jobs: Vec<Job>) -> VecDeque<Vec<Job>> {
    let mut boots = VecDeque::new();
    for job in jobs.iter().filter(|job| job.test.alone) {
        boots.push_back(vec![*job]);
    }
    for controller in Controller::ALL {
        let mut shared: Vec<Job> =
            jobs.iter().filter(|job| !job.test.alone && job.controller == controller).copied().collect();
        // A stable order: by name within controls and within the others.
        shared.sort_by_key(|job| job.test.must_fail.is_none());
        if !shared.is_empty() {
            boots.push_back(shared);
        }
    }
    boots.make_contiguous().sort_by_key(|jobs| jobs[0].test.must_fail.is_none());
    boots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_its_test_and_a_wrong_one_is_an_error() {
        for (name, _) in TESTS {
            assert!(choose(true, &[(*name).to_owned()]).is_ok());
        }
        assert!(choose(true, &["no such test".into()]).is_err());
    }

    #[test]
    fn every_job_is_in_one_boot() {
        let jobs = choose(true, &[]).unwrap_or_default();
        let mut titles: Vec<_> = jobs.iter().map(Job::title).collect();
        let mut booted: Vec<_> = boots(jobs).iter().flatten().map(Job::title).collect();
        titles.sort();
        booted.sort();
        assert_eq!(titles, booted);
    }
}
