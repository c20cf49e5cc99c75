//! Pass, fail and skip.

/// What became of the tests.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Report {
    pub(crate) fn pass(&mut self, test: &str) {
        self.passed += 1;
        println!("pass  {test}");
    }

    pub(crate) fn skip(&mut self, test: &str, reason: &str) {
        self.skipped += 1;
        println!("skip  {test}: {reason}");
    }

    pub(crate) fn fail(&mut self, test: &str, reason: &str) {
        self.failed += 1;
        println!("FAIL  {test}\n      {}", reason.trim_end().replace('\n', "\n      "));
    }

    /// Passed, unless there are reasons.
    pub(crate) fn tell(&mut self, test: &str, reasons: impl IntoIterator<Item = String>) {
        let reasons: Vec<String> = reasons.into_iter().collect();
        if reasons.is_empty() { self.pass(test) } else { self.fail(test, &reasons.join("\n")) }
    }

    pub(crate) fn finish(&self) -> Result<(), String> {
        println!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped);
        if self.failed == 0 { Ok(()) } else { Err(format!("{} tests failed", self.failed)) }
    }
}
