//! The table of what is looked for. One row is one way a secret looks; several rows may share an id.
//!
//! A row is found in three steps: one of its keywords (all rows share one Aho-Corasick automaton), its
//! pattern on the line around the keyword, its check. Patterns are our own, written from what issuers
//! document about their formats; every repetition that could be followed by an optional part is
//! bounded, so that a search never looks at the same bytes again and again.
//!
//! The order matters where two rows begin at the same byte: the first one names the mask.

use std::ops::Range;

use super::{checks, keyed, numbers, pem};

/// Looks at a candidate in its line and adds what must be hidden (byte ranges of the line).
pub(super) type Check = fn(&[u8], &Candidate, &mut Vec<Range<usize>>);

/// What a pattern found.
pub(super) struct Candidate {
    /// The whole match.
    pub whole: Range<usize>,
    /// Group 1 if the pattern has one, else the whole match.
    pub secret: Range<usize>,
}

/// One row.
pub(super) struct Detector {
    /// The word in `[masked:…]` and in the answer's notes.
    pub id: &'static str,
    /// At least one must be in the line (any case); empty: the pattern runs over everything.
    pub keywords: &'static [&'static str],
    /// Bytes, not Unicode; never matches a line feed.
    pub pattern: &'static str,
    /// Decides.
    pub check: Check,
}

const fn row(
    id: &'static str,
    keywords: &'static [&'static str],
    pattern: &'static str,
    check: Check,
) -> Detector {
    Detector {
        id,
        keywords,
        pattern,
        check,
    }
}

/// Every row.
pub(super) static DETECTORS: &[Detector] = &[
    // Private keys: here the part on the marker's own line; `pem` follows the lines in between.
    row("private-key", &["PRIVATE KEY"], pem::BEGIN, pem::after_begin),
    row("private-key", &["PRIVATE KEY"], pem::END, pem::before_end),
    row(
        "private-key",
        &["AGE-SECRET-KEY-"],
        r"(?i)AGE-SECRET-KEY-1[0-9A-Z]{50,70}",
        checks::token,
    ),
    // Tokens whose prefix says what they are.
    row(
        "aws-access-key",
        &["AKIA", "ASIA", "ABIA", "ACCA"],
        r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",
        checks::aws,
    ),
    row(
        "aws-secret-key",
        &["aws", "secretaccesskey", "secret_access_key", "secret access key"],
        r#"(?i)(?:aws[a-z0-9_. -]{0,24}(?:key|secret)|secret[_ ]?access[_ ]?key)[^A-Za-z0-9/+\n]{1,12}([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)"#,
        checks::aws,
    ),
    row(
        "github-token",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        r"gh[pousr]_[A-Za-z0-9_]{36,255}",
        checks::token,
    ),
    row(
        "github-token",
        &["github_pat_"],
        r"github_pat_[A-Za-z0-9_]{22,255}",
        checks::token,
    ),
    row(
        "gitlab-token",
        &[
            "glpat-", "glptt-", "gldt-", "glrt-", "glcbt-", "glft-", "glsoat-", "glagent-", "glimt-",
            "gloas-", "glffct-",
        ],
        r"gl(?:pat|ptt|dt|rt|cbt|ft|soat|agent|imt|oas|ffct)-[A-Za-z0-9_.-]{18,300}",
        checks::token,
    ),
    row(
        "slack-token",
        &["xox"],
        r"xox[abceoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,250}",
        checks::token,
    ),
    row(
        "slack-token",
        &["xapp-"],
        r"xapp-[0-9]-[A-Za-z0-9]{6,20}-[0-9]{8,20}-[A-Za-z0-9]{20,100}",
        checks::token,
    ),
    row(
        "slack-webhook",
        &["hooks.slack"],
        r"hooks\.slack(?:-gov)?\.com/((?:services|workflows|triggers)/[A-Za-z0-9+/_-]{20,120})",
        checks::token,
    ),
    row(
        "stripe-key",
        &[
            "sk_live_", "sk_test_", "rk_live_", "rk_test_", "sk_prod_", "rk_prod_",
        ],
        r"[sr]k_(?:live|test|prod)_[A-Za-z0-9]{10,250}",
        checks::token,
    ),
    row(
        "stripe-key",
        &["whsec_"],
        r"whsec_[A-Za-z0-9+/=]{24,120}",
        checks::token,
    ),
    row(
        "google-api-key",
        &["AIza"],
        r"AIza[A-Za-z0-9_-]{35}",
        checks::token,
    ),
    row(
        "google-oauth",
        &["GOCSPX-"],
        r"GOCSPX-[A-Za-z0-9_-]{24,40}",
        checks::token,
    ),
    row(
        "google-oauth",
        &["ya29."],
        r"ya29\.[A-Za-z0-9_-]{20,2000}",
        checks::token,
    ),
    row(
        "google-oauth",
        &["1//0"],
        r"\b1//0[A-Za-z0-9_-]{40,200}",
        checks::token,
    ),
    row(
        "gcp-service-account",
        &["private_key_id"],
        r#"private_key_id\\{0,2}["']?\s{0,4}[:=]\s{0,4}\\{0,2}["']?([0-9a-f]{40})"#,
        checks::token,
    ),
    row(
        "azure-key",
        &["AccountKey=", "SharedAccessKey=", "AccessKey="],
        r"(?i)(?:AccountKey|SharedAccessKey|AccessKey)=([A-Za-z0-9+/]{40,90}={0,2})",
        checks::token,
    ),
    row(
        "azure-key",
        &["sig="],
        r"(?i)[?&]sig=([A-Za-z0-9%/+_-]{40,120}={0,2})",
        checks::token,
    ),
    row(
        "azure-key",
        &["Q~"],
        r"[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}",
        checks::token,
    ),
    row(
        "tollgate-token",
        &["tga_", "tgr_", "tgc_", "tgd_", "tgk_"],
        r"tg[arcdk]_[A-Za-z0-9_-]{43,80}",
        checks::token,
    ),
    row("npm-token", &["npm_"], r"npm_[A-Za-z0-9]{36}", checks::token),
    row(
        "pypi-token",
        &["pypi-"],
        r"pypi-[A-Za-z0-9_-]{60,1000}",
        checks::token,
    ),
    row(
        "anthropic-key",
        &["sk-ant-"],
        r"sk-ant-[A-Za-z0-9]{2,12}-[A-Za-z0-9_-]{20,200}",
        checks::token,
    ),
    row(
        "openai-key",
        &["sk-"],
        r"sk-(?:proj|svcacct|admin|None|service|or-v1|lf)-[A-Za-z0-9_-]{20,250}",
        checks::token,
    ),
    row(
        "openai-key",
        &["sk-"],
        r"\bsk-[A-Za-z0-9]{32,64}\b",
        checks::token,
    ),
    row(
        "huggingface-token",
        &["hf_", "api_org_"],
        r"(?:hf|api_org)_[A-Za-z0-9]{30,60}",
        checks::token,
    ),
    row(
        "sendgrid-key",
        &["SG."],
        r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}",
        checks::token,
    ),
    row("twilio-key", &["SK"], r"\bSK[0-9a-f]{32}\b", checks::token),
    row(
        "telegram-token",
        &[":AA"],
        r"\b[0-9]{8,12}:AA[A-Za-z0-9_-]{32,36}",
        checks::token,
    ),
    row(
        "discord-token",
        &["discord", "bot"],
        r"\b[MNO][DTjz][A-Za-z0-9_-]{21,28}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,45}",
        checks::token,
    ),
    row(
        "discord-token",
        &["discord"],
        r"discord(?:app)?\.com/api/(?:v[0-9]{1,2}/)?webhooks/([0-9]{15,22}/[A-Za-z0-9_-]{40,120})",
        checks::token,
    ),
    row(
        "digitalocean-token",
        &["dop_v1_", "doo_v1_", "dor_v1_"],
        r"do[opr]_v1_[a-f0-9]{64}",
        checks::token,
    ),
    row(
        "databricks-token",
        &["dapi"],
        r"\bdapi[a-f0-9]{32}(?:-[0-9])?\b",
        checks::token,
    ),
    row(
        "shopify-token",
        &["shpat_", "shpca_", "shppa_", "shpss_", "shprt_"],
        r"shp(?:at|ca|pa|ss|rt)_[a-fA-F0-9]{32}",
        checks::token,
    ),
    row(
        "vault-token",
        &["hvs.", "hvb.", "hvr."],
        r"hv[sbr]\.[A-Za-z0-9_-]{20,300}",
        checks::token,
    ),
    row(
        "docker-token",
        &["dckr_"],
        r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,60}",
        checks::token,
    ),
    row(
        "grafana-token",
        &["glsa_", "glc_"],
        r"gl(?:sa|c)_[A-Za-z0-9+/=_]{30,400}",
        checks::token,
    ),
    row(
        "sentry-token",
        &["sntrys_", "sntryu_"],
        r"sntry[su]_[A-Za-z0-9+/=_]{40,300}",
        checks::token,
    ),
    row(
        "terraform-token",
        &[".atlasv1."],
        r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{40,80}",
        checks::token,
    ),
    row(
        "rubygems-key",
        &["rubygems_"],
        r"rubygems_[a-f0-9]{48}",
        checks::token,
    ),
    row(
        "crates-io-token",
        &["cio"],
        r"\bcio[A-Za-z0-9]{32}\b",
        checks::token,
    ),
    row(
        "atlassian-token",
        &["ATATT3", "ATCTT3", "ATBB"],
        r"\bAT(?:ATT3|CTT3|BB)[A-Za-z0-9_=-]{24,250}",
        checks::token,
    ),
    row(
        "postman-key",
        &["PMAK-"],
        r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}",
        checks::token,
    ),
    row(
        "linear-key",
        &["lin_api_"],
        r"lin_api_[A-Za-z0-9]{30,60}",
        checks::token,
    ),
    row("new-relic-key", &["NRAK-"], r"NRAK-[A-Z0-9]{27}", checks::token),
    row("mailgun-key", &["key-"], r"\bkey-[0-9a-f]{32}\b", checks::token),
    row(
        "mailchimp-key",
        &["-us"],
        r"\b[0-9a-f]{32}-us[0-9]{1,2}\b",
        checks::token,
    ),
    row(
        "airtable-token",
        &["pat"],
        r"\bpat[A-Za-z0-9]{14}\.[a-f0-9]{64}\b",
        checks::token,
    ),
    row(
        "square-token",
        &["sq0"],
        r"sq0[a-z]{3}-[A-Za-z0-9_-]{22,50}",
        checks::token,
    ),
    row(
        "supabase-key",
        &["sbp_", "sb_secret_"],
        r"(?:sbp_[a-f0-9]{40}|sb_secret_[A-Za-z0-9_-]{20,60})",
        checks::token,
    ),
    row(
        "planetscale-token",
        &["pscale_"],
        r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_=.-]{30,64}",
        checks::token,
    ),
    row("groq-key", &["gsk_"], r"gsk_[A-Za-z0-9]{48,60}", checks::token),
    row("pulumi-token", &["pul-"], r"\bpul-[a-f0-9]{40}\b", checks::token),
    row(
        "figma-token",
        &["figd_"],
        r"figd_[A-Za-z0-9_-]{38,60}",
        checks::token,
    ),
    // Signed or encrypted tokens (RFC 7515, RFC 7516, compact form).
    row(
        "jwt",
        &["eyJ"],
        r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){1,4}",
        checks::jwt,
    ),
    // Forms that name what follows.
    row(
        "authorization",
        &["authorization"],
        r#"(?i)authorization\\{0,2}["']?\s{0,4}[:=,]\s{0,4}\\{0,2}["']?(?:[a-z0-9-]{3,20}\s{1,4})?([A-Za-z0-9._~+/=:-]{8,4000})"#,
        checks::credential,
    ),
    row(
        "authorization",
        &["bearer", "basic"],
        r"(?i)\b(?:bearer|basic)\s{1,4}([A-Za-z0-9._~+/=-]{16,4000})",
        checks::credential,
    ),
    row(
        "url-password",
        &["://"],
        r#"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s:@/\[\]'"<>\x60]{0,128}:([^\s/'"<>\x60]{1,256})@"#,
        checks::url_password,
    ),
    row(
        "url-password",
        &["://"],
        r"[A-Za-z][A-Za-z0-9+.-]{1,20}://([A-Za-z0-9_-]{20,255})@",
        checks::credential,
    ),
    row("password", &["pass", "pwd"], keyed::PASSWORD, keyed::lenient),
    row("secret", &["secret"], keyed::SECRET, keyed::lenient),
    row(
        "password",
        &["--pass", "--pwd"],
        r"(?i)--(?:password|passwd|passphrase|pass|pwd)[ =]",
        keyed::flag,
    ),
    row(
        "secret",
        &["--secret", "--token", "--api"],
        r"(?i)--(?:client-secret|secret|token|api-key|api-token)[ =]",
        keyed::flag,
    ),
    row(
        "password",
        &["identified", "password"],
        r#"(?i)\b(?:identified\s{1,4}by|password)\s{1,4}['"]"#,
        keyed::sql,
    ),
    // Where no separator says so: command lines, `.netrc`, Dockerfiles, XML settings.
    row(
        "password",
        &["curl"],
        r#"(?i)\bcurl\b.{0,300}?\s(?:-u|--user)[ =]{0,2}['"]?[^\s:'"$]{1,64}:([^\s'"$][^\s'"]{2,200})"#,
        checks::url_password,
    ),
    row(
        "password",
        &["mysql"],
        r"\bmysql(?:dump|admin|import)?\b.{0,300}?\s-p([^\s'\x22$-][^\s]{2,200})",
        checks::url_password,
    ),
    row(
        "password",
        &["sshpass"],
        r#"\bsshpass\s{1,8}-p\s{0,8}['"]?([^\s'"$][^\s'"]{2,200})"#,
        checks::url_password,
    ),
    row(
        "password",
        &["machine"],
        r"\bmachine\s{1,8}[^\s]{1,200}\s{1,8}login\s{1,8}[^\s]{1,200}\s{1,8}password\s{1,8}([^\s]{3,200})",
        checks::url_password,
    ),
    row(
        "password",
        &["ENV "],
        r"\bENV\s{1,8}[A-Z0-9_]{0,40}(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY)[A-Z0-9_]{0,20}\s{1,8}([^\s$=][^\s]{2,200})",
        checks::url_password,
    ),
    row(
        "secret",
        &["value"],
        r#"(?i)\b(?:key|name)\s{0,4}=\s{0,4}"[^"]{0,60}(?:password|secret|token|api[_-]?key)[^"]{0,30}"\s{1,8}value\s{0,4}=\s{0,4}"([^"]{3,300})""#,
        checks::credential,
    ),
    row(
        "secret",
        &["key", "token", "credential", "_auth"],
        keyed::TOKEN,
        keyed::strict,
    ),
    // Personal data.
    row(
        "email",
        &["@", "%40"],
        r"(?:[A-Za-z0-9_]|\xC3[\x80-\xBF])(?:[A-Za-z0-9._%+'-]|\xC3[\x80-\xBF]){0,63}(?:@|%40)(?:(?:[A-Za-z0-9-]|\xC3[\x80-\xBF]){1,63}\.){1,8}[A-Za-z][A-Za-z0-9-]{1,23}",
        checks::email,
    ),
    row("payment-card", &[], numbers::CARD, numbers::cards),
    row("iban", &[], numbers::IBAN, numbers::ibans),
];
