//! Reading the journal.
use std::path::Path;
use anyhow::{Result, bail};
use super::report::{AuditFilter, CallStory, Erasure, ExportReport, VerifyReport};
use crate::config::Config;
pub async fn audit_list(_config: &Config, _filter: &AuditFilter) -> Result<Vec<serde_json::Value>> { bail!("x") }
pub async fn audit_show(_config: &Config, _call_id: &str) -> Result<CallStory> { bail!("x") }
pub async fn audit_replay(_config: &Config, _filter: &AuditFilter) -> Result<Vec<CallStory>> { bail!("x") }
pub async fn audit_verify(_config: &Config) -> Result<VerifyReport> { bail!("x") }
pub async fn audit_verify_export(_export: &Path, _public_key: &str) -> Result<VerifyReport> { bail!("x") }
pub async fn audit_export(_config: &Config, _to: &Path, _payloads: bool) -> Result<ExportReport> { bail!("x") }
pub async fn audit_erase(_config: &Config, _what: &Erasure) -> Result<u64> { bail!("x") }
