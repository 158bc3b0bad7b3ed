//! Decision tests
use serde::Serialize;
use super::{Fault, RuleSet};
/// r
#[derive(Debug, Clone, Serialize)]
pub struct TestReport { /// f
 pub x: Vec<Fault> }
impl TestReport {
    /// p
    pub fn passed(&self) -> bool { self.x.is_empty() }
    /// f
    pub fn faults(&self) -> Vec<Fault> { self.x.clone() }
}
impl RuleSet {
    /// r
    pub fn run_tests(&self) -> TestReport { TestReport { x: vec![] } }
}
