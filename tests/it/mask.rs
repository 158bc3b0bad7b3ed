//! Masking of content: what is found, what is not, and that pieces give the same as the whole.

use std::borrow::Cow;

use tollgate::mask::Mask;

#[test]
fn a_password_is_masked_and_prose_is_not() {
    let mask = Mask::new();
    assert_eq!(mask.text("password = \"hunter2\""), "password = \"[masked:password]\"");
    assert_eq!(mask.text("to: jane@example.com."), "to: [masked:email].");
    assert_eq!(mask.text("card 4111 1111 1111 1111, exp 12/27"), "card [masked:payment-card], exp 12/27");
    assert_eq!(mask.text("DE89 3704 0044 0532 0130 00 is ours"), "[masked:iban] is ours");
    assert!(matches!(mask.text("the password is required"), Cow::Borrowed(_)));
    let key = format!("-----BEGIN {0} KEY-----\n{1}\n{1}\nabc=\n-----END {0} KEY-----\n", "PRIVATE", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj");
    assert_eq!(mask.text(&key), format!("-----BEGIN {0} KEY-----\n[masked:private-key]\n-----END {0} KEY-----\n", "PRIVATE"));
}
