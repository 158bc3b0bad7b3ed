//! What the documents say is true: configurations load, policies validate, commands exist, links lead
//! somewhere, the map of the code names every module.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Output;

use regex::Regex;
use tollgate::config::Config;
use tollgate::demo::{config_text, repo, shop};

use crate::support::BINARY;
use crate::support::site::{planted_key, root};

const USAGE: i32 = 2;

#[expect(
    clippy::disallowed_methods,
    reason = "the program under test is the one process started"
)]
fn tollgate(folder: &Path, arguments: &[&str]) -> Output {
    std::process::Command::new(BINARY)
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap()
}

fn succeeds(folder: &Path, arguments: &[&str]) {
    let output = tollgate(folder, arguments);
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&said)
    );
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// The fenced blocks of one language in a document.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let fence = Regex::new(&format!(r"(?s)```{language}\n(.*?)```")).unwrap();
    let found = fence.captures_iter(document).map(|found| found[1].to_owned());
    found.collect()
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// The repository that the documents call `repos/web.git`.
fn web(dir: &Path) {
    let made = repo::create(dir, Path::new("/nonexistent"), &planted_key()).unwrap();
    std::fs::create_dir(dir.join("repos")).unwrap();
    std::fs::rename(made.path, dir.join("repos/web.git")).unwrap();
}

#[test]
fn the_readme_describes_a_set_up_that_starts() {
    let readme = read("README.md");
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let [config, shell] = &blocks(&readme, "toml")[..] else {
        panic!("a configuration, and what is added to it")
    };
    write(&dir.join("tollgate.toml"), &format!("{config}\n{shell}"));
    write(
        &dir.join("policies/readme.cedar"),
        &blocks(&readme, "cedar").join("\n"),
    );
    shop::create(&dir.join("shop.db")).unwrap();
    web(dir);

    let config = Config::load(&dir.join("tollgate.toml")).unwrap();
    assert_eq!(config.resources.len(), 3);
    assert_eq!(config.issuers.len(), 1);
    succeeds(dir, &["policy", "test"]);
    succeeds(dir, &["stdio"]); // opens every part; nobody speaks, so it ends
}

#[test]
fn the_configurations_of_the_documents_load() {
    const BEFORE: &str = "[store]\nurl = \"sqlite:t.db\"\n[[issuer]]\nname = \"corp\"\nurl = \"https://login.example.com\"\nmode = \"bearer\"\ngroups_claim = \"/groups\"\n";
    let mut seen = 0;
    for name in ["docs/configuration.md", "docs/git.md", "docs/sqlite.md"] {
        for block in blocks(&read(name), "toml") {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir(folder.path().join("policies")).unwrap();
            shop::create(&folder.path().join("shop.db")).unwrap();
            web(folder.path());
            let file = folder.path().join("tollgate.toml");
            write(&file, &format!("{BEFORE}{block}"));
            Config::load(&file).unwrap_or_else(|error| panic!("{name}: {error}\n{block}"));
            seen += 1;
        }
    }
    assert!(seen >= 3, "{seen}");
}

/// Each is whole together with what the page says every file begins with.
#[test]
fn the_configuration_of_every_provider_loads_and_makes_its_identity_stage() {
    let page = read("docs/providers.md");
    let blocks = blocks(&page, "toml");
    let [before, issuers @ ..] = &blocks[..] else {
        panic!("what every file begins with, and a block per provider")
    };
    let mut seen = BTreeSet::new();
    for block in issuers {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("policies")).unwrap();
        let file = folder.path().join("tollgate.toml");
        write(&file, &format!("{before}\n{block}"));
        let config = Config::load(&file).unwrap_or_else(|error| panic!("{error}\n{block}"));
        assert_eq!(config.issuers.len(), 1, "{block}");
        seen.insert(config.issuers[0].name.clone());
    }
    for provider in ["okta", "entra", "google", "keycloak", "auth0", "corp", "cognito"] {
        assert!(seen.contains(provider), "{provider}");
    }
}

/// A folder with the demo's configuration, which the documents speak of.
fn shop_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    shop::create(&dir.join("shop.db")).unwrap();
    repo::create(dir, Path::new("/nonexistent"), &planted_key()).unwrap();
    let config = config_text(
        "http://127.0.0.1:7330",
        None,
        "corp",
        "http://127.0.0.1:9",
        tollgate::demo::Way::Bearer,
    );
    write(&dir.join("tollgate.toml"), &config);
    std::fs::create_dir(dir.join("tools")).unwrap();
    std::fs::create_dir(dir.join("policies")).unwrap();
    folder
}

#[test]
fn the_policies_and_tools_of_the_documents_load() {
    let folder = shop_folder();
    let dir = folder.path();
    let document = read("docs/policy.md");
    let policies = blocks(&document, "cedar");
    assert!(policies.len() >= 3);
    for (number, policy) in policies.iter().enumerate() {
        write(&dir.join(format!("set-{number}/one.cedar")), policy);
        succeeds(dir, &["policy", "test", "--dir", &format!("set-{number}")]);
    }
    let tools = blocks(&read("docs/tools.md"), "toml");
    assert!(!tools.is_empty());
    for tool in &tools {
        write(&dir.join("tools/one.toml"), tool);
        succeeds(dir, &["stdio"]);
    }
}

#[test]
fn every_command_in_the_documents_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let word = Regex::new(r#""([^"]*)"|(\S+)"#).unwrap();
    let mut seen = 0;
    for name in documents() {
        for block in [blocks(&read(&name), "sh"), blocks(&read(&name), "")].concat() {
            let lines = block
                .lines()
                .filter(|line| line.starts_with("tollgate ") && !line.contains('…'));
            for line in lines {
                let words: Vec<&str> = word
                    .captures_iter(line)
                    .filter_map(|found| Some(found.get(1).or_else(|| found.get(2))?.as_str()))
                    .skip(1)
                    .take_while(|word| !["#", "&&", "|", ">"].contains(word))
                    .collect();
                let output = tollgate(folder.path(), &words);
                let said = String::from_utf8_lossy(&output.stderr);
                assert_ne!(output.status.code(), Some(USAGE), "{name}: {line}\n{said}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 6, "{seen}");
}

fn documents() -> Vec<String> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|entry| format!("docs/{}", entry.unwrap().file_name().display()));
    let docs = docs.filter(|name| name.ends_with(".md"));
    let top = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"];
    docs.chain(top.map(str::to_owned)).collect()
}

#[test]
fn links_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut seen = 0;
    for name in documents() {
        let path = root().join(&name);
        for found in link.captures_iter(&read(&name)) {
            let target = found[1].split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            assert!(path.parent().unwrap().join(target).exists(), "{name}: {target}");
            seen += 1;
        }
    }
    assert!(seen > 5, "{seen}");
}

#[test]
fn the_map_of_the_code_names_every_module_in_order() {
    let map = read("ARCHITECTURE.md");
    let table: Vec<&str> = map.lines().filter(|line| line.starts_with("| `")).collect();
    let library = read("src/lib.rs");
    let modules = library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let mut last = 0;
    for module in modules {
        let place = table
            .iter()
            .position(|line| line.split('|').nth(1).unwrap().contains(&format!("`{module}`")))
            .unwrap_or_else(|| panic!("ARCHITECTURE.md does not name `{module}`"));
        assert!(place >= last || module == "cli", "`{module}` is out of order");
        last = last.max(place);
    }
}

#[test]
fn the_changelog_knows_this_version() {
    let heading = format!("\n## {}", env!("CARGO_PKG_VERSION"));
    assert!(read("CHANGELOG.md").contains(&heading), "{heading}");
}

/// Every refusal an agent can get is in the README's list, and nothing else is.
#[test]
fn the_readme_names_the_refusals() {
    let readme = read("README.md");
    let section = readme.split("## Refusals").nth(1).expect("a section on refusals");
    let section = section.split("\nA call that waits").next().unwrap();
    let listed: Vec<&str> = section.split('`').skip(1).step_by(2).collect();
    let code = read("src/call/refusal.rs");
    let arm = Regex::new(r#"Self::[A-Z]\w+ => "([a-z_]+)""#).unwrap();
    let known: BTreeSet<&str> = arm
        .captures_iter(&code)
        .map(|found| found.get(1).unwrap().as_str())
        .collect();
    assert!(known.len() >= 19, "{known:?}");
    let listed: BTreeSet<&str> = listed.into_iter().collect();
    assert_eq!(listed, known);
}

/// Everything a policy may look at, and every annotation, has its place in the page on policies.
#[test]
fn the_page_on_policies_names_all_of_the_language() {
    let page = read("docs/policy.md");
    let schema = read("policies/tollgate.cedarschema");
    let field = Regex::new(r"^ {2,}([a-z_]+)\??: (String|Bool|Set)").unwrap();
    let fields = schema.lines().filter_map(|line| field.captures(line));
    let fields: BTreeSet<String> = fields.map(|found| found[1].to_owned()).collect();
    assert!(
        fields.contains("irreversible") && fields.contains("change"),
        "{fields:?}"
    );
    for name in &fields {
        let told = page.contains(&format!(".{name}`")) || page.contains(&format!("`{name}`"));
        assert!(told, "docs/policy.md does not tell of `{name}`");
    }
    let action = Regex::new(r"(?m)^ +action ([a-z_]+)").unwrap();
    let actions: Vec<&str> = action
        .captures_iter(&schema)
        .map(|found| found.get(1).unwrap().as_str())
        .collect();
    assert!(actions.len() >= 15, "{actions:?}");
    for name in actions.iter().filter(|name| !["read", "change"].contains(name)) {
        assert!(
            page.contains(&format!("`{name}`")),
            "docs/policy.md does not tell of `{name}`"
        );
    }
    let obligations = read("src/policy/obligation.rs");
    let known = obligations
        .split("ANNOTATIONS: [&str; 12] = [")
        .nth(1)
        .unwrap()
        .split(']')
        .next()
        .unwrap();
    let known: Vec<&str> = known.split('"').skip(1).step_by(2).collect();
    assert!(
        known.contains(&"bound") && known.contains(&"unattended"),
        "{known:?}"
    );
    for name in known {
        assert!(
            page.contains(&format!("@{name}")),
            "docs/policy.md does not tell of @{name}"
        );
    }
}

/// Every key that configuration reads has its row.
#[test]
fn the_page_on_configuration_names_every_key() {
    let page = read("docs/configuration.md");
    let raw = read("src/config/raw.rs");
    let key = Regex::new(r"(?m)^    pub(?:\([a-z]+\))? ([a-z_0-9]+):").unwrap();
    let keys: BTreeSet<&str> = key
        .captures_iter(&raw)
        .map(|found| found.get(1).unwrap().as_str())
        .collect();
    assert!(
        keys.contains("workdir") && keys.contains("control_listen"),
        "{keys:?}"
    );
    for name in keys {
        let told = page.contains(&format!("`{name}`"))
            || page.contains(&format!("[{name}]"))
            || page.contains(&format!(".{name}]"));
        assert!(told, "docs/configuration.md does not tell of `{name}`");
    }
}

/// Every member of a journal record and every phase has its row.
#[test]
fn the_page_on_the_journal_names_every_member() {
    let page = read("docs/audit.md");
    let member = Regex::new(r#"\.put\(\s*"([a-z_0-9]+)""#).unwrap();
    let mut seen = BTreeSet::new();
    for file in ["src/audit/record.rs", "src/audit/entry.rs", "src/audit/writer.rs"] {
        for found in member.captures_iter(&read(file)) {
            seen.insert(found[1].to_owned());
        }
    }
    assert!(seen.contains("approval") && seen.contains("effect"), "{seen:?}");
    for name in seen {
        assert!(
            page.contains(&format!("`{name}`")),
            "docs/audit.md does not tell of `{name}`"
        );
    }
}
