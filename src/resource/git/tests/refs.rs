//! Which refs exist, and what cannot be said as one.

use git2::ObjectType;

use super::support::*;
use crate::call::{Code, Request, Target};

fn used(repository: &super::super::Repository, reference: Option<&str>) -> Result<String, Code> {
    let mut request = list_request("", false);
    request.reference = reference.map(str::to_owned);
    match inspect(repository, Request::FileList(request)) {
        Ok(facts) => match facts.target {
            Target::Git { reference, .. } => Ok(reference),
            other => panic!("{other:?}"),
        },
        Err(refusal) => Err(refusal.code),
    }
}

fn three_branches() -> Fixture {
    let fixture = Fixture::with(&[("a", b"main")]);
    fixture.commit_files("refs/heads/dev", &[("a", b"dev")]);
    fixture.commit_files("refs/heads/private", &[("a", b"private")]);
    fixture.commit_files("refs/tags/v1", &[("a", b"v1")]);
    fixture
}

#[test]
fn the_default_is_what_head_names_or_the_first_allowed_branch() {
    let fixture = three_branches();
    assert_eq!(used(&fixture.open(), None).unwrap(), "refs/heads/main");
    let others = fixture.open_refs(&["refs/tags/*", "refs/heads/private", "refs/heads/dev"]);
    assert_eq!(used(&others, None).unwrap(), "refs/heads/private");
    assert_eq!(
        used(&fixture.open_refs(&["refs/heads/*"]), None).unwrap(),
        "refs/heads/main"
    );
    fixture.set_ref("HEAD", "ref: refs/heads/gone\n");
    assert_eq!(
        used(&fixture.open_refs(&["refs/heads/*"]), None).unwrap(),
        "refs/heads/dev"
    );
    assert_eq!(
        used(&fixture.open_refs(&["refs/tags/*"]), None),
        Err(Code::NotFound)
    );
    assert_eq!(used(&fixture.open_refs(&[]), None), Err(Code::NotFound));
    assert_eq!(used(&fixture.open_refs(&[]), Some("main")), Err(Code::NotFound));
}

#[test]
fn head_is_only_a_way_to_an_allowed_ref() {
    let fixture = three_branches();
    assert_eq!(used(&fixture.open(), Some("HEAD")).unwrap(), "refs/heads/main");
    fixture.set_ref("HEAD", "ref: refs/heads/private\n");
    assert_eq!(used(&fixture.open(), Some("HEAD")), Err(Code::NotFound));
    let id = fixture.in_repo(&["rev-parse", "refs/heads/main"]);
    fixture.set_ref("HEAD", &format!("{id}\n"));
    assert_eq!(used(&fixture.open(), Some("HEAD")), Err(Code::NotFound));
}

#[test]
fn hidden_and_unknown_refs_look_the_same_and_expressions_are_refused() {
    let fixture = three_branches();
    let repository = fixture.open();
    let commit = fixture.in_repo(&["rev-parse", "refs/heads/private"]);
    let hidden = read_at(&repository, "a", "private").unwrap_err();
    let never = read_at(&repository, "a", "pryvate").unwrap_err();
    assert_eq!(hidden.message.replace("private", "pryvate"), never.message);
    assert_eq!(
        (hidden.code, hidden.suggestion),
        (Code::NotFound, never.suggestion)
    );
    for absent in [
        "refs/heads/private",
        "heads/private",
        &commit,
        commit.get(..12).unwrap(),
        "main/x",
        "refs",
        "refs/heads",
        "FETCH_HEAD",
        "Main",
        "config",
    ] {
        assert_eq!(used(&repository, Some(absent)), Err(Code::NotFound), "{absent}");
    }
    for bad in [
        "",
        "main~1",
        "main^",
        "main^{tree}",
        "main:a",
        "@{-1}",
        "main@{1}",
        "@",
        "-x",
        "--output=x",
        "main..dev",
        "a b",
        ":/message",
        "refs/heads/",
        "/main",
        "main/",
        "a//b",
        "../config",
        "refs/../config",
        "refs/heads/../../config",
        "main.lock",
        "ma\0in",
        "ma*",
        "a\\b",
        ".main",
        "refs/heads/.main",
    ] {
        assert_eq!(
            used(&repository, Some(bad)),
            Err(Code::InvalidArguments),
            "{bad:?}"
        );
    }
}

#[test]
fn short_and_full_names_packed_and_loose() {
    let fixture = three_branches();
    fixture.in_repo(&["pack-refs", "--all"]);
    let repository = fixture.open();
    for name in ["main", "heads/main", "refs/heads/main"] {
        assert_eq!(used(&repository, Some(name)).unwrap(), "refs/heads/main");
    }
    assert_eq!(read_at(&repository, "a", "v1").unwrap().text(), "v1");
    // A loose ref covers the packed one, at once.
    fixture.commit_files("refs/heads/main", &[("a", b"newer")]);
    assert_eq!(read_at(&repository, "a", "main").unwrap().text(), "newer");
    fixture.commit_files("refs/tags/main", &[("a", b"tag")]);
    assert_eq!(
        used(&repository, Some("main")),
        Err(Code::InvalidArguments),
        "ambiguous"
    );
    assert_eq!(read_at(&repository, "a", "tags/main").unwrap().text(), "tag");
}

#[test]
fn annotated_tags_are_peeled_and_other_objects_are_not_refs() {
    let fixture = Fixture::with(&[("a", b"main")]);
    fixture.in_repo(&["tag", "-a", "-m", "m", "one", "main"]);
    fixture.in_repo(&["tag", "-a", "-m", "m", "two", "one"]);
    let repository = fixture.open();
    assert_eq!(read_at(&repository, "a", "two").unwrap().text(), "main");
    let blob = fixture.blob(b"not a commit");
    fixture.set_ref("refs/tags/blob", &format!("{blob}\n"));
    assert_eq!(used(&repository, Some("blob")), Err(Code::NotFound));
    let tag = fixture.object(
        ObjectType::Tag,
        format!("object {blob}\ntype blob\ntag x\n\n").as_bytes(),
    );
    fixture.set_ref("refs/tags/tagged-blob", &format!("{tag}\n"));
    assert_eq!(used(&repository, Some("tagged-blob")), Err(Code::NotFound));
}

#[test]
fn symbolic_refs_lead_only_to_allowed_refs() {
    let fixture = three_branches();
    fixture.set_ref("refs/tags/alias", "ref: refs/heads/main\n");
    fixture.set_ref("refs/tags/sneak", "ref: refs/heads/private\n");
    fixture.set_ref("refs/tags/loop", "ref: refs/tags/loop\n");
    fixture.set_ref("refs/tags/out", "ref: ../../../etc/passwd\n");
    let repository = fixture.open();
    assert_eq!(used(&repository, Some("alias")).unwrap(), "refs/heads/main");
    for name in ["sneak", "loop", "out"] {
        assert_eq!(used(&repository, Some(name)), Err(Code::NotFound), "{name}");
    }
}

#[test]
fn what_is_configured_as_a_ref_must_be_one() {
    let fixture = Fixture::with(&[("a", b"x")]);
    for bad in [
        "main",
        "refs/heads/*x",
        "refs/*/main",
        "",
        "*",
        "refs/heads/../x",
        "-x",
        "HEAD",
        "heads/main",
        "refs/heads/",
    ] {
        let spec = super::super::Spec {
            refs: vec![bad.to_owned()],
            ..fixture.spec()
        };
        assert!(super::super::Repository::open(spec).is_err(), "{bad:?}");
    }
}

#[test]
fn a_ref_that_is_no_longer_there_is_not_read() {
    let fixture = three_branches();
    let repository = fixture.open();
    let request = Request::FileRead(read_request("a"));
    let facts = inspect(&repository, request.clone()).unwrap();
    // The branch moves between inspecting and running: what was inspected is what runs.
    fixture.commit_files("refs/heads/main", &[("a", b"newer")]);
    let answer = on_runtime(run_with(&repository, &request, &facts, LIMITS)).unwrap();
    assert_eq!(answer.text(), "main");
    fixture.in_repo(&["update-ref", "-d", "refs/heads/main"]);
    let refusal = on_runtime(run_with(&repository, &request, &facts, LIMITS)).unwrap_err();
    assert_eq!(refusal.code, Code::NotFound);
    // Facts that no inspection of this resource could have given.
    let mut forged = facts.clone();
    forged.target = Target::Git {
        reference: "refs/heads/private".to_owned(),
        commit: fixture.in_repo(&["rev-parse", "refs/heads/private"]),
    };
    assert_eq!(
        on_runtime(run_with(&repository, &request, &forged, LIMITS))
            .unwrap_err()
            .code,
        Code::NotFound
    );
    let mut forged = facts;
    forged.file.as_mut().unwrap().path = "b".to_owned();
    assert_eq!(
        on_runtime(run_with(&repository, &request, &forged, LIMITS))
            .unwrap_err()
            .code,
        Code::Internal
    );
}
