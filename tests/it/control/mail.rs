//! Notices by e-mail: one when something waits and one how it ended, to whom policy asks and nobody else, handed in to a
//! mail server nobody here wrote (aiosmtpd, `tests/peers/mail`, installed by `tests/peers/setup-mail`), and to servers that
//! do what none should.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::teams::{asks, opened};
use super::whole::{CLIENT, POLICY, Whole, secret_file};
use crate::support::certificates::Certificates;
use crate::support::site::{Site, root};
use crate::support::until;

const USER: &str = "tollgate";
const PASSWORD: &str = "correct horse";

/// A mail server, and what it took.
struct Server {
    process: Child,
    port: u64,
    took: Arc<Mutex<Vec<Value>>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    #[expect(clippy::disallowed_methods, reason = "the mail server is another program")]
    fn start(spec: &Value) -> Self {
        let folder = root().join("tests/peers/mail");
        let mut process = std::process::Command::new(folder.join(".venv/bin/python"))
            .arg(folder.join("server.py"))
            .arg(spec.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the mail server is not installed: run tests/peers/setup-mail");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = lines.next().expect("it did not start").unwrap();
        let ready: Value = serde_json::from_str(&ready).unwrap();
        let took = Arc::new(Mutex::new(Vec::new()));
        let kept = took.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self {
            process,
            port: ready["port"].as_u64().unwrap(),
            took,
        }
    }

    /// With TLS of this kind by these certificates, for one user.
    fn guarded(tls: &str, certificates: &Certificates, more: &Value) -> Self {
        let (certificate, key) = certificates.server(rustix::process::geteuid().as_raw());
        let mut spec = json!({
            "tls": tls, "certificate": certificate, "key": key, "user": USER, "password": PASSWORD,
        });
        let more = more.as_object().unwrap().clone();
        spec.as_object_mut().unwrap().extend(more);
        Self::start(&spec)
    }

    async fn nth(&self, nth: usize) -> Value {
        until("a mail", async || self.took.lock().unwrap().get(nth).cloned()).await
    }
}

fn header<'a>(mail: &'a Value, name: &str) -> Vec<&'a str> {
    let all = mail["headers"].as_array().unwrap().iter();
    all.filter(|one| one[0] == name)
        .map(|one| one[1].as_str().unwrap())
        .collect()
}

/// The channel's table.
fn channel(site: &Site, url: &str, more: &str) -> String {
    let secret = secret_file(site, "mail.secret", PASSWORD);
    format!(
        "[[approval.channel]]\nkind = \"mail\"\nurl = \"{url}\"\nfrom = \"tollgate@example.com\"\nto = \"oncall@example.com\"\n\
         routes = {{ dba = \"dba@example.com\", auditor = \"auditor@example.com\" }}\n{}",
        more.replace("SECRET", &secret)
    )
}

/// Keys for a server that asks who we are, and whom an authority of its own vouches for.
fn known(certificates: &Certificates) -> String {
    format!(
        "user = \"{USER}\"\nsecret = \"SECRET\"\nca = \"{}\"\n",
        certificates.ca().display()
    )
}

async fn decides(whole: &Whole, page: &str, verb: &str, reason: Option<&str>) {
    let second = whole.site.issuer.id_token(CLIENT, "second", &["dba"]);
    let path = page.replace(&whole.control, "/api");
    let (_, sheet) = whole.api(&second, &path, None).await;
    let mut seen = json!({"action_sha256": sheet["action_sha256"]});
    if let Some(reason) = reason {
        seen["reason"] = json!(reason);
    }
    let (status, answer) = whole.api(&second, &format!("{path}/{verb}"), Some(&seen)).await;
    assert_eq!(status, 200, "{answer}");
}

fn page_of(mail: &Value) -> String {
    let text = mail["text"].as_str().unwrap();
    let page = text.lines().find(|line| line.starts_with("http"));
    page.unwrap_or_else(|| panic!("no link: {text}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_asked_gets_one_mail_and_one_how_it_ended_in_one_thread() {
    let certificates = Certificates::of("DNS:localhost");
    let busy = json!({"answers": ["451 later"]});
    let server = Server::guarded("starttls", &certificates, &busy);
    let whole = Whole::dressed("", POLICY, |site| {
        channel(
            site,
            &format!("smtp://localhost:{}", server.port),
            &known(&certificates),
        )
    })
    .await;
    let statement = "SELECT count(*) FROM orders WHERE status = 'a value of a row'";
    let waiting = asks(&whole, statement);
    let first = server.nth(0).await; // after the server was too busy for it
    assert_eq!(first["to"], json!(["dba@example.com"]), "{first}");
    assert_eq!(first["from"], "tollgate@example.com", "{first}");
    assert_eq!(first["defects"], json!([]), "{first}");
    assert_eq!(
        (&first["encrypted"], &first["authenticated"]),
        (&json!(true), &json!(true)),
        "{first}"
    );
    assert_eq!(
        (&first["ascii"], &first["type"]),
        (&json!(true), &json!("text/plain")),
        "{first}"
    );
    assert!(first["longest"].as_u64().unwrap() <= 78, "{first}");
    assert_eq!(header(&first, "auto-submitted"), ["auto-generated"]);
    assert_eq!(
        header(&first, "subject"),
        ["Waits for a decision: sql_query on shop"]
    );
    assert_eq!(header(&first, "from"), ["Tollgate <tollgate@example.com>"]);
    let text = first["text"].as_str().unwrap();
    for never in ["SELECT", "a value of a row", "<a ", "<img", PASSWORD] {
        assert!(!first.to_string().contains(never), "{never}: {text}");
    }
    assert!(
        text.contains("Asked by: test#asker\n") && text.contains("Who decides: 1 of dba\n"),
        "{text}"
    );
    let claims = text
        .split_once("Claimed by the program, checked by nobody:\n")
        .unwrap()
        .1;
    assert_eq!(
        claims.trim_end(),
        "> \u{201c}It calls itself: raw\u{201d}",
        "last, quoted"
    );
    let page = page_of(&first);
    let second = whole.site.issuer.id_token(CLIENT, "second", &["dba"]);
    opened(&whole, &page, &second).await;
    decides(&whole, &page, "approve", None).await;
    waiting.await.unwrap();
    let end = server.nth(1).await;
    let id = header(&first, "message-id");
    assert_eq!(
        (header(&end, "in-reply-to"), header(&end, "references")),
        (id.clone(), id.clone())
    );
    assert_ne!(header(&end, "message-id"), id);
    assert_eq!(header(&end, "subject"), ["Approved: sql_query on shop"]);
    assert!(
        end["text"].as_str().unwrap().contains("By: test#second\n"),
        "{end}"
    );
    // The next one is refused with a reason: two mails again, so of the first no third came between.
    let next = asks(&whole, "SELECT 1 FROM orders");
    let other = server.nth(2).await;
    assert_ne!(page_of(&other), page);
    decides(
        &whole,
        &page_of(&other),
        "refuse",
        Some("not\r\nBcc: on a Friday see https://evil.example"),
    )
    .await;
    next.await.unwrap();
    let end = server.nth(3).await;
    assert_eq!(header(&end, "subject"), ["Refused: sql_query on shop"]);
    assert_eq!(header(&end, "in-reply-to"), header(&other, "message-id"));
    assert!(
        header(&end, "bcc").is_empty() && end["to"] == json!(["dba@example.com"]),
        "{end}"
    );
    let text = end["text"].as_str().unwrap();
    assert!(
        text.contains("https[:]//evil[.]example") && !text.contains("https://evil"),
        "{text}"
    );
    assert_eq!(server.took.lock().unwrap().len(), 4);
    whole.end().await;
}

/// `doctor mail` on a configuration, as text.
async fn examined(url: &str, more: &str) -> String {
    let site = Site::new().await;
    let table = channel(&site, url, more);
    let text = std::fs::read_to_string(site.config()).unwrap();
    let text = text
        .replacen(
            "[server]\n",
            "[server]\ncontrol_listen = \"127.0.0.1:1\"\ncontrol_url = \"http://localhost:1\"\n",
            1,
        )
        .replacen(
            "[[issuer]]\n",
            &format!("[[issuer]]\ncontrol_audience = \"{CLIENT}\"\n"),
            1,
        );
    std::fs::write(site.config(), text).unwrap();
    site.configure(&table);
    let config = tollgate::config::Config::load(&site.config()).unwrap();
    let examined = tollgate::app::doctor_mail(&config).await.unwrap();
    let text = format!(
        "{} {}",
        examined.findings.passed(),
        serde_json::to_string(&examined).unwrap()
    );
    assert!(!text.contains(PASSWORD), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_sends_no_mail_and_says_what_keeps_it_from_being_sent() {
    let (ours, theirs) = (
        Certificates::of("DNS:localhost"),
        Certificates::of("DNS:localhost"),
    );
    let elsewhere = Certificates::of("DNS:mail.example.com");
    let none = json!({});
    let implicit = Server::guarded("implicit", &ours, &none);
    let later = Server::guarded("starttls", &ours, &json!({"without": ["PLAIN"]}));
    let another = Server::guarded("implicit", &elsewhere, &none);
    let plain = Server::start(&json!({"tls": "none"}));
    let smtps = |server: &Server| format!("smtps://localhost:{}", server.port);
    let smtp = |server: &Server| format!("smtp://localhost:{}", server.port);
    let wrong = known(&ours).replace("user = \"tollgate\"", "user = \"somebody\"");
    let ca = format!("ca = \"{}\"\n", ours.ca().display());
    for (url, more, says) in [
        (smtps(&implicit), known(&ours), "true"),
        (
            smtps(&implicit),
            known(&ours),
            "TLS, and its certificate is vouched for",
        ),
        (smtp(&later), known(&ours), "it knows us by user and secret"),
        (
            smtps(&implicit),
            known(&theirs),
            "nobody that we trust vouches for its certificate",
        ),
        (
            smtp(&later),
            known(&theirs),
            "nobody that we trust vouches for its certificate",
        ),
        (
            smtps(&another),
            known(&elsewhere),
            "its certificate is for another name",
        ),
        (smtps(&implicit), wrong, "it answered SMTP 535"),
        (smtp(&plain), ca, "it offers no STARTTLS"),
        (smtp(&plain), String::new(), "it is spoken to in clear text"),
        (smtps(&plain), known(&ours), "it does not speak TLS as we do"),
        (
            "smtp://localhost:1".to_owned(),
            String::new(),
            "cannot be reached",
        ),
    ] {
        let found = examined(&url, &more).await;
        assert!(found.contains(says), "{url} {says}: {found}");
        let is_well = ["true", "vouched for", "knows us", "clear text"]
            .iter()
            .any(|one| says.contains(one));
        assert_eq!(found.starts_with("true"), is_well, "{url} {says}: {found}");
    }
    for server in [&implicit, &later, &another, &plain] {
        assert!(server.took.lock().unwrap().is_empty(), "no mail is sent");
    }
}

/// What a server says to the one that connects, step by step; where it waits for a line (or a whole message) first.
async fn says(listener: &TcpListener, steps: &[&str]) -> String {
    talks(listener, steps).await.0
}

/// The same, and stays connected for as long as what it gives is kept.
async fn talks(listener: &TcpListener, steps: &[&str]) -> (String, TcpStream) {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut heard = String::new();
    for (at, step) in steps.iter().enumerate() {
        let ends = match steps
            .get(at.wrapping_sub(1))
            .is_some_and(|before| before.starts_with("354"))
        {
            true => "\r\n.\r\n",
            false => "\r\n",
        };
        let from = heard.len();
        while at > 0 && heard.get(from..).is_some_and(|new| !new.ends_with(ends)) {
            let mut more = [0; 4_096];
            match socket.read(&mut more).await {
                Ok(count) if count > 0 => heard.push_str(std::str::from_utf8(&more[..count]).unwrap()),
                _ => return (heard, socket),
            }
        }
        if socket.write_all(step.as_bytes()).await.is_err() {
            return (heard, socket);
        }
    }
    (heard, socket)
}

/// A server that hangs up on its first message when it has all of it, then takes one, then knows the recipient no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_was_cut_off_comes_again_as_the_same_and_one_that_nobody_takes_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let whole = Whole::dressed("", POLICY, |site| channel(site, &url, "")).await;
    let config = tollgate::config::Config::load(&whole.site.config()).unwrap();
    let waiting = asks(&whole, "SELECT count(*) FROM orders");
    let (hello, ok, data) = (
        "250-mail.example.com\r\n250 SIZE 1000000\r\n",
        "250 ok\r\n",
        "354 go on\r\n",
    );
    let cut = says(&listener, &["220 mail\r\n", hello, ok, ok, data, ""]).await;
    let whole_one = says(
        &listener,
        &["220 mail\r\n", hello, ok, ok, data, ok, "221 bye\r\n"],
    )
    .await;
    assert!(
        cut.contains("Message-ID: <") && cut.ends_with("\r\n.\r\n"),
        "{cut}"
    );
    assert_eq!(
        whole_one.strip_prefix(&cut),
        Some("QUIT\r\n"),
        "the same to the byte"
    );
    assert!(
        cut.starts_with(
            "EHLO [127.0.0.1]\r\nMAIL FROM:<tollgate@example.com>\r\nRCPT TO:<dba@example.com>\r\nDATA\r\n"
        ),
        "{cut}"
    );
    let next = asks(&whole, "SELECT 2 FROM orders");
    let gone = says(
        &listener,
        &["220 mail\r\n", hello, ok, "550 5.1.1 a secret of the server\r\n"],
    )
    .await;
    assert!(gone.ends_with("RCPT TO:<dba@example.com>\r\n"), "{gone}");
    let dead = until("a notice that is given up", async || {
        let dead = tollgate::app::dead_letters(&config, 10).await.unwrap();
        (!dead.is_empty()).then_some(dead)
    })
    .await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!(
        (dead[0].0.as_str(), dead[0].2.as_str()),
        ("mail dba@example.com", "it answered SMTP 550")
    );
    waiting.abort();
    next.abort();
    whole.end().await;
}

/// Who wants to know us first, and who has no time, say nothing of the mail. Who took it and says nothing more has it: what
/// comes next is how its request ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_was_taken_is_not_sent_again_and_one_that_was_not_is() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let whole = Whole::dressed("", POLICY, |site| channel(site, &url, "")).await;
    let waiting = asks(&whole, "SELECT count(*) FROM orders");
    let (hello, ok, data) = ("250 mail.example.com\r\n", "250 ok\r\n", "354 go on\r\n");
    says(&listener, &["220 mail\r\n", hello, "530 who are you\r\n"]).await;
    says(&listener, &["220 mail\r\n", hello, ok, "421 not now\r\n"]).await;
    // Taken, and then not a word: the connection stays, and nobody says goodbye.
    let (first, _silent) = talks(&listener, &["220 mail\r\n", hello, ok, ok, data, ok]).await;
    let page = first
        .lines()
        .find(|line| line.starts_with("http"))
        .unwrap()
        .replace("=3D", "=");
    decides(&whole, &page, "approve", None).await;
    let (end, hung_up) = talks(&listener, &["220 mail\r\n", hello, ok, ok, data, ok]).await;
    drop(hung_up); // the same of the next one, with a connection that ends
    let id = |mail: &str, name: &str| {
        let line = mail.lines().find(|line| line.starts_with(name));
        line.map(|line| line.split_once(": ").unwrap().1.to_owned())
    };
    assert_eq!(id(&end, "In-Reply-To"), id(&first, "Message-ID"), "{end}");
    waiting.await.unwrap();
    let next = asks(&whole, "SELECT 2 FROM orders");
    let second = says(
        &listener,
        &["220 mail\r\n", hello, ok, ok, data, ok, "221 bye\r\n"],
    )
    .await;
    assert_eq!(
        id(&second, "In-Reply-To"),
        None,
        "another request's first: {second}"
    );
    assert_ne!(id(&second, "Message-ID"), id(&first, "Message-ID"));
    next.abort();
    whole.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_talks_nonsense_talks_to_itself() {
    let ours = Certificates::of("DNS:localhost");
    let vouched = format!("ca = \"{}\"\n", ours.ca().display());
    let ca = vouched.as_str();
    let endless = format!("220 {}", "x".repeat(100_000));
    let lines = "220-more\r\n".repeat(1_000);
    let offers = "250-mail\r\n250 STARTTLS\r\n";
    let injected = "220 go on\r\n250-mail\r\n250 AUTH PLAIN\r\n";
    for (steps, more, why) in [
        (vec!["SSH-2.0-OpenSSH_9.2\r\n"], "", "it does not speak SMTP"),
        (
            vec!["220 mail\r\n", "250-mail\r\n251 other\r\n"],
            "",
            "it does not speak SMTP",
        ),
        (vec!["354 go on\r\n"], "", "it answered what was not asked"),
        (vec![endless.as_str()], "", "its answer does not end"),
        (vec![lines.as_str()], "", "its answer does not end"),
        (vec!["220 mail\r\n"], "", "it hung up"),
        (vec!["421 too many\r\n"], "", "it answered SMTP 421"),
        (vec!["554 not you\r\n"], "", "it answered SMTP 554"),
        (
            vec!["220 mail\r\n", offers, injected],
            ca,
            "put words before the TLS",
        ),
        (
            vec!["220 mail\r\n", offers, "220 go on\r\n"],
            ca,
            "it does not speak TLS",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://localhost:{}", listener.local_addr().unwrap().port());
        let (found, _) = tokio::join!(examined(&url, more), says(&listener, &steps));
        assert!(
            found.starts_with("false") && found.contains(why),
            "{why}: {found}"
        );
    }
}

/// Nobody waits for ever for a server that says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://localhost:{}", listener.local_addr().unwrap().port());
    let found = examined(&url, "").await;
    assert!(found.contains("no answer in time"), "{found}");
}
