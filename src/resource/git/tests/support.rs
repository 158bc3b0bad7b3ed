//! A repository made by real git, with objects written by hand where git would refuse to.

use std::cell::RefCell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use git2::{ObjectType, Oid};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::super::{Repository, Spec};
use crate::call::request::{FileList, FileRead, FileSearch};
use crate::call::{Action, CallId, Code, Facts, Hash, Invocation, Limits, RawOutput, Refusal, Request};

pub(super) const LIMITS: Limits = Limits {
    rows: 100_000,
    bytes: 1 << 20,
    seconds: 60,
};

pub(super) const FILE: &str = "100644";
pub(super) const FOLDER: &str = "40000";
pub(super) const LINK: &str = "120000";
pub(super) const MODULE: &str = "160000";

thread_local! {
    static KEPT: RefCell<Vec<Arc<tempfile::TempDir>>> = RefCell::default();
}

/// A folder that lives as long as the test's thread, also when only a repository in it is kept.
pub(super) fn kept_folder() -> Arc<tempfile::TempDir> {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    KEPT.with_borrow_mut(|kept| kept.push(Arc::clone(&folder)));
    folder
}

pub(super) struct Fixture {
    pub(super) folder: Arc<tempfile::TempDir>,
    /// The git directory.
    pub(super) git_dir: PathBuf,
}

impl Fixture {
    pub(super) fn bare() -> Self {
        let folder = kept_folder();
        let git_dir = folder.path().join("repo.git");
        let fixture = Self { folder, git_dir };
        fixture.git(&["init", "-q", "--bare", "-b", "main", "repo.git"]);
        fixture
    }

    /// A bare repository whose `main` holds these files.
    pub(super) fn with(files: &[(&str, &[u8])]) -> Self {
        let fixture = Self::bare();
        fixture.commit_files("refs/heads/main", files);
        fixture
    }

    /// Runs git in the fixture's folder; no configuration of this machine takes part.
    pub(super) fn git(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// As [`Fixture::git`] where the exit code is part of the answer; the output is not trimmed.
    pub(super) fn git_lenient(&self, arguments: &[&str]) -> String {
        String::from_utf8_lossy(&self.output(arguments).stdout).into_owned()
    }

    #[expect(clippy::disallowed_methods, reason = "fixtures are made by git itself")]
    fn output(&self, arguments: &[&str]) -> std::process::Output {
        std::process::Command::new("git")
            .current_dir(self.folder.path())
            .args(arguments)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("HOME", self.folder.path())
            .env("GIT_AUTHOR_NAME", "A")
            .env("GIT_AUTHOR_EMAIL", "a@example.com")
            .env("GIT_AUTHOR_DATE", "1700000000 +0000")
            .env("GIT_COMMITTER_NAME", "A")
            .env("GIT_COMMITTER_EMAIL", "a@example.com")
            .env("GIT_COMMITTER_DATE", "1700000000 +0000")
            .output()
            .unwrap()
    }

    pub(super) fn in_repo(&self, arguments: &[&str]) -> String {
        let mut all = vec!["--git-dir", self.git_dir.to_str().unwrap()];
        all.extend(arguments);
        self.git(&all)
    }

    pub(super) fn in_repo_lenient(&self, arguments: &[&str]) -> String {
        let mut all = vec!["--git-dir", self.git_dir.to_str().unwrap()];
        all.extend(arguments);
        self.git_lenient(&all)
    }

    /// Writes a loose object whatever is in it.
    pub(super) fn object(&self, kind: ObjectType, content: &[u8]) -> Oid {
        let id = Oid::hash_object(kind, content).unwrap();
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder
            .write_all(format!("{} {}\0", kind.str(), content.len()).as_bytes())
            .unwrap();
        encoder.write_all(content).unwrap();
        self.loose(id, &encoder.finish().unwrap());
        id
    }

    pub(super) fn loose(&self, id: Oid, stored: &[u8]) {
        let path = self.loose_path(id);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, stored).unwrap();
    }

    pub(super) fn loose_path(&self, id: Oid) -> PathBuf {
        let id = id.to_string();
        let (folder, file) = id.split_at(2);
        self.git_dir.join("objects").join(folder).join(file)
    }

    pub(super) fn blob(&self, content: &[u8]) -> Oid {
        self.object(ObjectType::Blob, content)
    }

    /// A tree with exactly these entries, in this order.
    pub(super) fn tree(&self, entries: &[(&str, &[u8], Oid)]) -> Oid {
        let mut raw = Vec::new();
        for (mode, name, id) in entries {
            raw.extend_from_slice(mode.as_bytes());
            raw.push(b' ');
            raw.extend_from_slice(name);
            raw.push(0);
            raw.extend_from_slice(id.as_bytes());
        }
        self.object(ObjectType::Tree, &raw)
    }

    pub(super) fn commit(&self, reference: &str, tree: Oid) -> Oid {
        let text = format!(
            "tree {tree}\nauthor A <a@example.com> 1700000000 +0000\ncommitter A <a@example.com> 1700000000 +0000\n\nmessage\n"
        );
        let id = self.object(ObjectType::Commit, text.as_bytes());
        self.set_ref(reference, &format!("{id}\n"));
        id
    }

    pub(super) fn set_ref(&self, name: &str, content: &str) {
        let path = self.git_dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Commits plain files, with the folders their paths need.
    pub(super) fn commit_files(&self, reference: &str, files: &[(&str, &[u8])]) -> Oid {
        let owned: Vec<(Vec<u8>, Oid)> = files
            .iter()
            .map(|(path, content)| (path.as_bytes().to_vec(), self.blob(content)))
            .collect();
        let tree = self.folder_of(&owned);
        self.commit(reference, tree)
    }

    fn folder_of(&self, files: &[(Vec<u8>, Oid)]) -> Oid {
        let mut entries = std::collections::BTreeMap::<Vec<u8>, (&str, Oid)>::new();
        let mut below = std::collections::BTreeMap::<Vec<u8>, Vec<(Vec<u8>, Oid)>>::new();
        for (path, id) in files {
            match path.iter().position(|byte| *byte == b'/') {
                None => {
                    entries.insert(path.clone(), (FILE, *id));
                }
                Some(at) => below
                    .entry(path[..at].to_vec())
                    .or_default()
                    .push((path[at + 1..].to_vec(), *id)),
            }
        }
        for (name, files) in below {
            let id = self.folder_of(&files);
            entries.insert(name, (FOLDER, id));
        }
        let list: Vec<(&str, &[u8], Oid)> = entries
            .iter()
            .map(|(name, (mode, id))| (*mode, name.as_slice(), *id))
            .collect();
        self.tree(&list)
    }

    pub(super) fn spec(&self) -> Spec {
        Spec {
            name: "web".to_owned(),
            path: self.git_dir.clone(),
            refs: vec!["refs/heads/main".to_owned(), "refs/tags/*".to_owned()],
            hidden: Vec::new(),
            limits: LIMITS,
            conceal: Arc::new(crate::mask::Mask::new()),
        }
    }

    pub(super) fn open(&self) -> Repository {
        Repository::open(self.spec()).unwrap()
    }

    pub(super) fn open_hiding(&self, hidden: &[&str]) -> Repository {
        let hidden = hidden.iter().map(|pattern| (*pattern).to_owned()).collect();
        Repository::open(Spec {
            hidden,
            ..self.spec()
        })
        .unwrap()
    }

    pub(super) fn open_refs(&self, refs: &[&str]) -> Repository {
        let refs = refs.iter().map(|name| (*name).to_owned()).collect();
        Repository::open(Spec { refs, ..self.spec() }).unwrap()
    }
}

/// What came of a call.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) data: Value,
    pub(super) raw: RawOutput,
}

impl Answer {
    pub(super) fn paths(&self) -> Vec<String> {
        self.texts("/entries", "path")
    }

    pub(super) fn texts(&self, list: &str, key: &str) -> Vec<String> {
        let list = self.data.pointer(list).unwrap().as_array().unwrap();
        list.iter()
            .map(|item| item[key].as_str().unwrap().to_owned())
            .collect()
    }

    pub(super) fn text(&self) -> &str {
        self.data["text"].as_str().unwrap()
    }
}

pub(super) fn invocation(action: Action, request: Request) -> Invocation {
    Invocation {
        call_id: CallId::new(1, &[7; 10]),
        user: "local#1@host".to_owned(),
        session: "one".to_owned(),
        tool: "tool".to_owned(),
        action,
        resource: Some("web".to_owned()),
        request,
        arguments: json!({}),
        request_key: Hash::of(b"key"),
    }
}

/// Inspects, then runs what was inspected.
pub(super) fn call_with(
    repository: &Repository,
    request: Request,
    limits: Limits,
) -> Result<Answer, Refusal> {
    on_runtime(async {
        let cancel = CancellationToken::new();
        let facts = repository
            .inspect(&invocation(Action::FileRead, request.clone()), &cancel)
            .await?;
        run_with(repository, &request, &facts, limits).await
    })
}

pub(super) async fn run_with(
    repository: &Repository,
    request: &Request,
    facts: &Facts,
    limits: Limits,
) -> Result<Answer, Refusal> {
    let cancel = CancellationToken::new();
    let mut raw = repository.answer(request, facts, limits, &cancel).await?;
    let data = raw.take_data();
    assert_pointers(&data, &raw);
    Ok(Answer { data, raw })
}

/// Every fragment says which string carries it.
fn assert_pointers(data: &Value, raw: &RawOutput) {
    for fragment in &raw.fragments {
        let text = data.pointer(&fragment.pointer).unwrap().as_str().unwrap();
        let bytes = usize::try_from(fragment.bytes.1 - fragment.bytes.0).unwrap();
        // A search puts masks in the place of what is hidden.
        assert!(text.len() == bytes || text.contains("[masked:"), "{fragment:?}");
    }
}

pub(super) fn on_runtime<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

pub(super) fn inspect(repository: &Repository, request: Request) -> Result<Facts, Refusal> {
    let invocation = invocation(Action::FileRead, request);
    on_runtime(repository.inspect(&invocation, &CancellationToken::new()))
}

pub(super) fn call(repository: &Repository, request: Request) -> Result<Answer, Refusal> {
    call_with(repository, request, LIMITS)
}

pub(super) fn list_request(path: &str, recursive: bool) -> FileList {
    FileList {
        resource: "web".to_owned(),
        path: path.to_owned(),
        reference: None,
        recursive: Some(recursive),
        limit: None,
        cursor: None,
    }
}

pub(super) fn read_request(path: &str) -> FileRead {
    FileRead {
        resource: "web".to_owned(),
        path: path.to_owned(),
        reference: None,
        start_line: None,
        end_line: None,
    }
}

pub(super) fn search_request(pattern: &str) -> FileSearch {
    FileSearch {
        resource: "web".to_owned(),
        pattern: pattern.to_owned(),
        regex: None,
        glob: None,
        reference: None,
        limit: None,
        cursor: None,
    }
}

pub(super) fn list(repository: &Repository, path: &str) -> Result<Answer, Refusal> {
    call(repository, Request::FileList(list_request(path, false)))
}

pub(super) fn list_all(repository: &Repository) -> Answer {
    let roomy = Limits {
        bytes: 1 << 26,
        ..LIMITS
    };
    call_with(repository, Request::FileList(list_request("", true)), roomy).unwrap()
}

pub(super) fn read(repository: &Repository, path: &str) -> Result<Answer, Refusal> {
    call(repository, Request::FileRead(read_request(path)))
}

pub(super) fn read_lines(
    repository: &Repository,
    path: &str,
    start: u64,
    end: u64,
) -> Result<Answer, Refusal> {
    let request = FileRead {
        start_line: Some(start),
        end_line: Some(end),
        ..read_request(path)
    };
    call(repository, Request::FileRead(request))
}

pub(super) fn read_at(repository: &Repository, path: &str, reference: &str) -> Result<Answer, Refusal> {
    let request = FileRead {
        reference: Some(reference.to_owned()),
        ..read_request(path)
    };
    call(repository, Request::FileRead(request))
}

pub(super) fn search(repository: &Repository, pattern: &str) -> Result<Answer, Refusal> {
    call(repository, Request::FileSearch(search_request(pattern)))
}

pub(super) fn search_regex(repository: &Repository, pattern: &str) -> Result<Answer, Refusal> {
    let request = FileSearch {
        regex: Some(true),
        ..search_request(pattern)
    };
    call(repository, Request::FileSearch(request))
}

/// Asserts that a path does not exist in any tool, in the words used for one that never did.
pub(super) fn assert_absent(repository: &Repository, path: &str) {
    for result in [read(repository, path), list(repository, path)] {
        let refusal = result.map(|answer| answer.data).expect_err(path);
        match refusal.code {
            Code::NotFound => {
                let never = Refusal::not_found(path);
                assert_eq!(
                    (refusal.message, refusal.suggestion),
                    (never.message, never.suggestion)
                );
            }
            Code::InvalidArguments => {} // the spelling alone was refused, before anything was looked up
            other => panic!("{path}: {other:?}"),
        }
    }
    let all = list_all(repository);
    assert!(
        !all.paths().iter().any(|listed| listed == path),
        "{path} is listed"
    );
}

/// Asserts that a text comes out of no tool.
pub(super) fn assert_silent(repository: &Repository, secret: &str) {
    let listed = list_all(repository);
    assert!(!listed.data.to_string().contains(secret), "listed: {secret}");
    let found = search(repository, secret).unwrap();
    assert_eq!(found.data["matches"], json!([]), "found: {secret}");
    for path in listed.paths() {
        if let Ok(answer) = read(repository, &path) {
            assert!(!answer.data.to_string().contains(secret), "{path} shows {secret}");
        }
    }
}

pub(super) fn symlink(target: impl AsRef<Path>, at: impl AsRef<Path>) {
    std::os::unix::fs::symlink(target, at).unwrap();
}
