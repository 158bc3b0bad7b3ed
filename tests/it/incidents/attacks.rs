//! Attacks on signing in, as they are named by the MCP security guide, RFC 9700, RFC 8628, published advisories and
//! our own list: for each the tests that fail when the defence is taken out.

use super::ledger::tests_of_this_repository;

/// What is attacked, and the tests.
const ATTACKS: &[(&str, &[&str])] = &[
    (
        "mix-up of providers",
        &[
            "mix_up_one_providers_answer_is_not_anothers",
            "an_answer_of_another_issuer_ends_the_login_and_its_code_goes_nowhere",
            "metadata_is_of_this_very_issuer_and_looked_up_with_restraint",
        ],
    ),
    (
        "code injection",
        &[
            "a_code_is_worth_something_only_to_who_began",
            "an_answer_to_another_question_is_none",
            "the_sealed_text_of_another_code_is_not_used",
        ],
    ),
    (
        "code replay, also at another replica",
        &[
            "a_replayed_code_ends_the_session_it_was_redeemed_for",
            "a_code_is_redeemed_once_by_whichever_process",
            "a_providers_answer_counts_once_on_all_replicas",
        ],
    ),
    (
        "PKCE downgrade",
        &[
            "pkce_cannot_be_left_out_or_weakened",
            "a_code_without_a_challenge_is_for_devices_alone",
        ],
    ),
    (
        "redirect tricks and open redirects",
        &[
            "exactly_what_was_registered",
            "never_to_another_host",
            "of_a_loopback_address_the_port_alone_may_vary",
            "what_must_not_be_registered",
            "open_redirect_nobody_is_sent_to_an_address_that_was_not_registered",
            "strangers_cannot_use_our_address_to_send_people_to_theirs",
            "a_sign_in_leads_back_to_pages_of_ours_alone",
        ],
    ),
    (
        "consent skipped or borrowed (CVE-2026-27124, confused deputy)",
        &[
            "consent_cannot_be_skipped",
            "cve_2026_27124_a_browser_whose_person_did_not_say_yes_gets_nowhere",
            "cve_2026_27124_a_second_browser_cannot_ride_on_the_firsts_consent",
            "a_second_client_asks_again_and_the_first_one_too",
            "a_second_browser_cannot_send_the_first_ones_form",
        ],
    ),
    (
        "CSRF, also from another port of the host",
        &[
            "csrf_the_form_counts_only_from_our_own_page",
            "csrf_a_page_on_another_port_plants_the_cookie_and_sends_the_form_in_vain",
            "a_form_counts_for_its_session_its_verb_and_its_action_alone",
            "the_page_for_codes_repeats_nothing_and_takes_forms_of_its_own_alone",
        ],
    ),
    (
        "state used twice or late",
        &[
            "an_answer_counts_for_its_own_question_once",
            "a_sign_in_has_ten_minutes",
        ],
    ),
    (
        "session fixation",
        &[
            "two_cookies_of_one_name_are_none",
            "a_sign_in_ends_in_the_browser_that_began_it_or_nowhere",
            "a_session_id_is_made_when_the_session_is",
        ],
    ),
    (
        "a token of another audience, issuer or kind; passing tokens through",
        &[
            "token_for_another_audience_is_refused",
            "no_issuer_signs_for_another_though_their_keys_share_an_id",
            "only_an_access_token_opens_anything",
            "a_token_for_another_resource_or_scope_is_not_to_be_had",
            "a_token_of_the_provider_opens_nothing_here_and_one_of_ours_nothing_there",
        ],
    ),
    (
        "refresh token theft",
        &[
            "a_stolen_refresh_token_ends_the_session_whoever_comes_second",
            "after_the_grace_a_replaced_token_is_theft",
            "another_client_cannot_use_or_burn_a_refresh_token",
        ],
    ),
    (
        "what outlives its session",
        &[
            "a_session_ended_on_one_replica_is_nothing_on_the_other_and_leaves_nothing_behind",
            "a_revoked_refresh_token_takes_the_access_tokens_of_every_replica_along",
            "an_end_that_nobody_heard_of_counts_after_five_seconds",
            "somebody_who_is_gone_works_no_longer_than_the_bound",
        ],
    ),
    (
        "what is somebody else's: session, task, approval, requestState",
        &[
            "a_legacy_session_of_one_person_is_useless_to_another",
            "a_task_of_one_person_is_useless_to_another",
            "an_approval_of_one_person_is_useless_to_another",
            "a_request_state_of_one_person_is_useless_to_another",
        ],
    ),
    (
        "user and group confusion between issuers",
        &[
            "the_same_name_and_group_at_two_issuers_are_two_people_in_two_groups",
            "one_issuer_cannot_vouch_for_anothers_users",
            "a_refresh_never_turns_somebody_into_somebody_else",
            "groups_come_from_the_id_token_or_userinfo_and_are_never_none_by_mistake",
        ],
    ),
    (
        "SSRF by a client's document",
        &[
            "ssrf_addresses_inside_are_not_asked",
            "the_real_fetch_does_not_go_inside",
            "the_real_fetch_follows_no_redirect_and_reads_no_more_than_it_must",
            "a_name_that_leads_inside_leads_nowhere",
            "where_hosts_are_listed_no_other_is_asked",
        ],
    ),
    (
        "names that a client gives itself; registrations without end",
        &[
            "a_client_that_registers_itself_is_believed_nothing",
            "a_document_that_is_not_about_its_own_address_is_nobodys",
            "their_number_is_bounded_and_the_unused_make_room",
        ],
    ),
    (
        "guessing the code of a device, or handing somebody one",
        &[
            "user_codes_cannot_be_guessed",
            "many_networks_together_guess_no_more_than_a_thousand_times",
            "a_device_waits_for_the_same_question",
        ],
    ),
    (
        "Host and Origin",
        &[
            "incident_42_a_foreign_host_or_origin_reaches_nothing",
            "row_42_only_its_own_name_is_served_and_only_its_own_pages_may_ask",
        ],
    ),
    (
        "an agent's token where people decide, and the reverse",
        &[
            "an_agents_token_opens_nothing_here_and_a_persons_opens_nothing_there",
            "h2_the_agents_surface_has_no_control",
        ],
    ),
    (
        "SAML: wrapping, tampering, replay, expiry, audience",
        &[
            "wrapping_is_found",
            "tampering_is_found",
            "an_assertion_works_once_and_for_the_request_it_answers",
            "an_assertion_has_its_time",
            "an_assertion_for_somebody_else_is_refused",
        ],
    ),
    (
        "secrets in logs, errors, records and the store",
        &[
            "no_token_code_cookie_or_key_is_left_behind_or_given_away",
            "nothing_of_a_token_is_in_the_store",
            "nothing_secret_is_in_a_log_an_error_or_debug",
            "only_the_whole_key_opens_and_the_store_does_not_hold_it",
        ],
    ),
];

#[test]
fn every_attack_on_signing_in_has_its_tests() {
    let tests = tests_of_this_repository();
    for (attack, shown) in ATTACKS {
        assert!(!shown.is_empty(), "{attack}");
        for name in *shown {
            assert!(tests.contains(*name), "{attack}: there is no test `{name}`");
        }
    }
}
