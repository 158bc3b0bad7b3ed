//! The ledger: one row per known incident or weak point, by its number in our list.

use std::collections::BTreeSet;
use std::path::Path;

use regex::Regex;

use crate::support::site::root;

/// How a row is dealt with.
enum Answer {
    /// These tests fail when the defence is taken out.
    Shown(&'static [&'static str]),
    /// Nothing in this slice could go wrong in that way.
    Apart(&'static str),
}

use Answer::{Apart, Shown};

/// Row, what went wrong, answer.
const LEDGER: &[(&str, &str, Answer)] = &[
    (
        "1",
        "read-only transaction left by a second statement",
        Shown(&[
            SQL_BYPASS,
            "no_attempt_tells_the_twins_apart_or_shows_a_planted_value",
            "the_file_cannot_be_written_even_without_the_locks",
        ]),
    ),
    (
        "2",
        "names pasted into SQL; stored text read as orders",
        Shown(&["incident_02_a_value_never_becomes_sql_text", STORED]),
    ),
    (
        "3",
        "a statement counted as reading because it begins with select",
        Shown(&[SQL_BYPASS]),
    ),
    (
        "4",
        "functions in FROM were not looked at",
        Shown(&[SQL_BYPASS, "policy_is_told_what_a_statement_touches"]),
    ),
    (
        "5",
        "everything allowed unless configured",
        Shown(&[
            "incident_05_what_is_not_said_is_the_strict_choice",
            "incidents_5_and_43_no_policies_deny_everything_and_say_so",
            "incident_h10_what_nobody_configured_is_closed",
        ]),
    ),
    (
        "6",
        "forbidden words in one string, several statements in another",
        Shown(&[SQL_BYPASS]),
    ),
    (
        "7",
        "text inside literals was run as a statement",
        Shown(&[
            SQL_BYPASS,
            "hostile_changes_are_refused_and_leave_nothing",
            HIDDEN,
        ]),
    ),
    (
        "8",
        "a pattern missed destructive statements; engine not read-only",
        Shown(&[SQL_BYPASS, "the_file_cannot_be_written_even_without_the_locks"]),
    ),
    ("9", "a comment in place of a space", Shown(&[SQL_BYPASS])),
    ("10", "executable comments", Shown(&[SQL_BYPASS])),
    (
        "11",
        "policy looked at a name before it was resolved",
        Shown(&[SQL_BYPASS, "policy_is_told_what_a_statement_touches"]),
    ),
    (
        "12",
        "an unchecked argument joined into a statement",
        Shown(&[
            "incident_12_every_parameter_is_typed_and_checked",
            "incident_12_every_place_in_a_command_has_a_grammar",
        ]),
    ),
    (
        "13",
        "HTTP without authentication",
        Shown(&[
            NO_TOKEN,
            "incident_13_without_a_good_token_there_is_a_401_with_the_exact_challenge",
            "incidents_13_and_18_no_token_is_no_entry",
            "incidents_13_and_18_nothing_switches_authentication_off",
            "consent_cannot_be_skipped",
            "only_an_access_token_opens_anything",
        ]),
    ),
    (
        "14",
        "metadata given to anybody",
        Shown(&["incident_14_a_schema_is_told_to_whom_the_resource_exists"]),
    ),
    (
        "15",
        "a comment between a function and its parenthesis",
        Shown(&[SQL_BYPASS]),
    ),
    (
        "16",
        "a ticket's text made an agent carry secrets out",
        Shown(&[
            STORED,
            "the_starter_policies_load_pass_their_tests_and_are_all_tested",
            "incident_16_after_personal_data_nothing_can_be_carried_out_elsewhere",
        ]),
    ),
    (
        "17",
        "a misspelt option accepted, and its opposite applied",
        Shown(&[
            "incident_17_an_unknown_key_is_a_refusal_to_start",
            "incident_17_an_unknown_annotation_is_refused",
            "incident_17_a_typing_mistake_keeps_the_server_from_starting",
        ]),
    ),
    (
        "18",
        "a self-hosted endpoint open and writable by default",
        Shown(&[
            NO_TOKEN,
            "incidents_13_and_18_no_token_is_no_entry",
            "incidents_13_and_18_nothing_switches_authentication_off",
            "only_an_access_token_opens_anything",
        ]),
    ),
    (
        "19",
        "an agent changed the rules it was held to",
        Shown(&[
            SEPARATE,
            "incident_19_what_others_can_change_is_a_refusal_to_start",
            "incident_19_files_that_others_could_change_are_refused",
            "incident_19_policies_store_keys_and_configuration_are_out_of_reach",
            "incident_h13_a_changed_journal_does_not_verify",
        ]),
    ),
    (
        "20",
        "read-only enforced in some tools",
        Shown(&[
            LISTED,
            "incident_20_what_the_tool_promises_and_what_the_adapter_found_must_both_be_allowed",
            "row_20_and_22_what_cannot_be_undone_or_grew_is_asked_anew",
            HIDDEN,
        ]),
    ),
    (
        "21",
        "a token found in a file deleted a volume",
        Shown(&[
            "incident_21_credentials_in_a_repository_do_not_reach_the_agent",
            "incident_21_the_servers_credentials_are_not_visible",
        ]),
    ),
    (
        "22",
        "an agent destroyed production by itself",
        Shown(&[
            "incident_22_what_destroys_is_no_inspection",
            "row_20_and_22_what_cannot_be_undone_or_grew_is_asked_anew",
            "the_starter_policies_load_pass_their_tests_and_are_all_tested",
            "incident_22_what_cannot_be_undone_takes_two_other_people",
        ]),
    ),
    (
        "23",
        "a repository made over a private folder",
        Apart("no tool makes a repository; only configured ones are opened"),
    ),
    (
        "24",
        "an option in place of a ref",
        Shown(&[
            "incident_24_argument_injection",
            "incident_24_a_value_in_a_command_is_no_option",
            HOSTILE,
        ]),
    ),
    (
        "25",
        "the restriction to one repository did nothing when unset",
        Shown(&["incident_25_no_unset_mode"]),
    ),
    (
        "26",
        "files outside the work tree were staged",
        Apart("git only reads: nothing is staged or written, no work tree is touched"),
    ),
    (
        "27",
        "a redirected git folder led outside",
        Shown(&[
            "incident_27_git_dir_redirection",
            "what_is_no_repository_is_refused",
            "nothing_in_a_repository_runs",
        ]),
    ),
    ("28", "git through a shell", Shown(&["incident_28_29_no_shell"])),
    (
        "29",
        "a git command line from the agent's words",
        Shown(&["incident_28_29_no_shell"]),
    ),
    (
        "30",
        "from a public issue to a private repository and out again",
        Apart("git only reads and nothing sends; the rule for changes is shown by row 16"),
    ),
    (
        "31",
        "dots in a path left the repository",
        Shown(&["incident_31_dot_dot_in_paths"]),
    ),
    (
        "32",
        "a folder's name as the beginning of another",
        Shown(&["incident_32_prefix_confusion"]),
    ),
    (
        "33",
        "a symbolic link left the folder",
        Shown(&["incident_33_symlink_escape"]),
    ),
    (
        "34",
        "a build's configuration path left its folder",
        Shown(&[
            "incident_31_dot_dot_in_paths",
            "linked_object_folders_and_files_are_not_followed",
        ]),
    ),
    (
        "35",
        "substitution and line breaks past a list of words",
        Shown(&[
            "incident_35_no_substitution_and_no_second_line",
            "no_hostile_line_is_an_inspection",
            "bash_starts_what_we_would_start_and_nothing_else",
            HOSTILE,
        ]),
    ),
    (
        "36",
        "only the first word of a shell line was checked",
        Shown(&[
            "incident_36_every_program_of_a_line_is_looked_at",
            "no_hostile_line_is_an_inspection",
            HOSTILE,
        ]),
    ),
    (
        "37",
        "a checked first word, then a shell",
        Shown(&[
            "incident_37_a_command_has_one_program_and_no_shell",
            "incident_37_what_follows_the_first_word_has_no_shell_to_act_in",
            HOSTILE,
        ]),
    ),
    (
        "38",
        "permissions applied to the list and not to calls",
        Shown(&[LISTED, "incident_38_visible_is_what_some_permit_might_allow"]),
    ),
    (
        "39",
        "a name that was an option sent the token elsewhere",
        Shown(&[
            "incident_39_the_author_chooses_every_option",
            "incident_39_a_value_cannot_become_an_option",
            HOSTILE,
        ]),
    ),
    (
        "40",
        "commands in a pod; logs as orders",
        Shown(&["incident_40_text_stays_one_word", STORED, HOSTILE]),
    ),
    (
        "41",
        "a description run as a command; host keys unchecked",
        Apart("no SSH here: commands run on this host alone; no free text reaches a shell (row 35)"),
    ),
    (
        "42",
        "a web page reached the local server",
        Shown(&[
            "incident_42_a_foreign_host_or_origin_reaches_nothing",
            "incident_42_a_page_in_a_browser_reaches_nothing_even_with_a_token",
            "incident_42_known_bad_versions_are_not_locked",
            "row_42_only_its_own_name_is_served_and_only_its_own_pages_may_ask",
            "an_empty_list_of_hosts_or_origins_allows_none",
            "csrf_the_form_counts_only_from_our_own_page",
            "csrf_a_page_on_another_port_plants_the_cookie_and_sends_the_form_in_vain",
        ]),
    ),
    (
        "43",
        "requests to internal addresses; an empty list allowed all",
        Shown(&[
            "redirects_are_answers_and_not_followed",
            "incidents_5_and_43_no_policies_deny_everything_and_say_so",
            "keys_a_token_brings_along_are_not_followed",
            "an_empty_list_of_hosts_or_origins_allows_none",
            "ssrf_addresses_inside_are_not_asked",
            "the_real_fetch_does_not_go_inside",
            "a_name_that_leads_inside_leads_nowhere",
            "where_hosts_are_listed_no_other_is_asked",
        ]),
    ),
    (
        "44",
        "a shared default key in place of a token",
        Shown(&[
            NO_TOKEN,
            "incident_44_a_secret_is_a_reference_and_has_no_default",
            "secrets_are_long_fresh_and_never_shown",
            "incident_44_without_issuers_every_token_is_refused",
            DECIDES,
            "whatever_is_sent_as_a_key_is_refused",
            "no_issuer_is_called_service_and_no_claim_makes_one",
        ]),
    ),
    (
        "45",
        "a second path forgot whose data it was",
        Shown(&[
            "incident_45_what_is_somebody_elses_looks_like_nothing",
            "a_session_of_somebody_else_looks_like_none",
            "a_legacy_session_of_one_person_is_useless_to_another",
            "a_task_of_one_person_is_useless_to_another",
            "an_approval_of_one_person_is_useless_to_another",
            "a_request_state_of_one_person_is_useless_to_another",
            "the_same_name_and_group_at_two_issuers_are_two_people_in_two_groups",
        ]),
    ),
    (
        "46",
        "bad packages; descriptions and configuration that run code",
        Shown(&[
            "no_banned_package_and_no_source_but_the_registry",
            "the_catalogue_is_as_it_was",
            "declared_tools_that_are_wrong_say_where_and_what_to_write",
            "a_client_that_registers_itself_is_believed_nothing",
        ]),
    ),
    (
        "H1",
        "the open data path enforces nothing",
        Shown(&[
            "the_path_of_a_call_is_one_short_function",
            "every_user_tool_and_resource",
        ]),
    ),
    (
        "H2",
        "control and data on one surface",
        Shown(&[
            SEPARATE,
            "incident_h2_no_control_is_reachable_where_agents_are",
            "the_control_side_is_not_reachable_by_a_call",
            "h2_the_agents_surface_has_no_control",
            "an_agents_token_opens_nothing_here_and_a_persons_opens_nothing_there",
            "an_agents_token_a_key_a_stranger_and_an_old_sign_in_make_nothing",
        ]),
    ),
    (
        "H3",
        "administrators approve themselves",
        Shown(&[
            "h3_whoever_asks_never_decides_whatever_groups_and_rights_they_have",
            "h3_the_requester_never_counts_whatever_their_groups",
            "h3_h8_the_requester_does_not_decide_and_others_do_not_see",
            ONE_SEAT,
            DECIDES,
            "h3_that_people_of_two_issuers_can_be_one_is_said",
        ]),
    ),
    (
        "H4",
        "one click counted for two groups",
        Shown(&[
            ONE_SEAT,
            "two_people_at_two_replicas_at_once_are_the_quorum_and_each_counts_once",
            "h4_somebody_in_two_groups_fills_one_seat",
            "h4_somebody_in_two_groups_takes_one_seat",
        ]),
    ),
    (
        "H5",
        "approvals compared for equality",
        Shown(&[
            ONE_SEAT,
            "h5_one_seat_and_a_person_of_two_groups_is_enough",
            "h5_more_people_than_asked_for_are_enough",
        ]),
    ),
    (
        "H6",
        "a time window over midnight was wrong",
        Shown(&["h6_a_time_over_midnight_is_two_moments"]),
    ),
    (
        "H7",
        "inspected one text and ran another",
        Shown(&[
            "incident_h7_what_is_inspected_and_recorded_is_what_runs",
            "facts_that_do_not_fit_the_statement_are_not_run",
            "h7_every_argument_is_in_the_facts_and_no_variable_can_be_set",
            "people_see_and_sign_the_statement_that_a_declared_tool_would_run",
        ]),
    ),
    (
        "H8",
        "lists showed everybody's requests",
        Shown(&[
            "incident_h8_lists_hold_what_is_the_callers",
            "h8_a_request_does_not_exist_for_people_who_are_not_asked",
            "h3_h8_the_requester_may_withdraw_and_strangers_see_nothing",
            DECIDES,
            "a_person_sees_and_ends_their_own_and_nobody_elses",
        ]),
    ),
    (
        "H9",
        "the guard against running twice lived in one process",
        Shown(&[
            "an_approval_is_decided_at_one_and_spent_once_over_both",
            "the_last_use_of_a_grant_is_taken_at_one_of_two_replicas",
            "h9_two_executors_one_run",
            "h9_two_real_processes_decide_once_and_run_once",
            "kill_between_grant_spend_effect_and_record_never_runs_twice",
            "killed_between_taking_the_approval_and_the_commit_it_is_unknown_and_never_made_again",
            "h9_an_executor_against_the_clock_and_against_a_refusal",
            "what_runs_unattended_without_an_approval_by_now_runs_once_all_the_same",
            "a_code_is_redeemed_once_by_whichever_process",
            "a_providers_answer_counts_once_on_all_replicas",
            "the_provider_is_asked_by_one_process_at_a_time",
        ]),
    ),
    (
        "H10",
        "analysis and masking open when they fail",
        Shown(&[
            "incident_h10_what_nobody_configured_is_closed",
            "an_erring_forbid_denies",
            "while_nothing_can_be_recorded_nothing_is_answered_and_later_it_is_again",
        ]),
    ),
    (
        "H11",
        "one opaque string for everything",
        Shown(&["incident_h11_every_argument_is_named_typed_and_closed"]),
    ),
    (
        "H12",
        "every decision crossed the network",
        Shown(&[
            "each_library_lives_where_it_belongs",
            "ten_thousand_policies_decide_as_one_would",
        ]),
    ),
    (
        "H13",
        "a journal that can be changed unnoticed",
        Shown(&[
            "incident_h13_a_changed_journal_does_not_verify",
            "changes_in_the_store_are_found_and_named",
            "a_truncation_with_a_rewritten_header_is_found_by_the_checkpoint_held_elsewhere",
        ]),
    ),
];

const SQL_BYPASS: &str = "incidents_01_03_04_06_07_09_10_11_15_what_is_not_one_plain_query_does_nothing";
const STORED: &str = "incidents_02_16_stored_instructions_are_data_and_carry_no_secret_out";
const NO_TOKEN: &str = "incidents_13_18_44_loopback_is_no_reason_to_let_anybody_in";
const LISTED: &str = "incidents_20_38_a_tool_that_is_not_listed_cannot_be_called";

const HIDDEN: &str = "incidents_07_20_a_change_is_one_whatever_carries_it";
const HOSTILE: &str = "incidents_24_35_36_37_39_40_hostile_lines_start_nothing";
const DECIDES: &str = "incidents_44_h3_h8_nothing_an_agent_holds_decides";
const SEPARATE: &str = "incidents_h2_19_a_reviewers_own_injected_agent_decides_nothing";
const ONE_SEAT: &str = "incidents_h3_h4_h5_one_person_is_one_seat_on_the_running_server";

/// Who asks and who decides: each of these is attacked on the running server, too. (H6 is a matter of time, which a test
/// cannot move in another process.)
const ATTACKED: [&str; 9] = ["19", "20", "H2", "H3", "H4", "H5", "H7", "H8", "H9"];

#[test]
fn every_row_is_there_once_in_order_and_in_few_words() {
    let rows: Vec<String> = (1..=46)
        .map(|row| row.to_string())
        .chain((1..=13).map(|row| format!("H{row}")))
        .collect();
    let listed: Vec<&str> = LEDGER.iter().map(|(row, ..)| *row).collect();
    assert_eq!(listed, rows);
    for (row, words, answer) in LEDGER {
        assert!(words.split_whitespace().count() <= 12, "{row}: {words}");
        match answer {
            Shown(tests) => assert!(!tests.is_empty(), "{row}"),
            Apart(reason) => assert!(reason.split_whitespace().count() >= 3, "{row}: {reason}"),
        }
    }
}

#[test]
fn the_tests_of_the_ledger_exist_and_every_test_of_an_incident_is_in_it() {
    let tests = tests_of_this_repository();
    let mut named = BTreeSet::new();
    for (row, _, answer) in LEDGER {
        let Shown(shown) = answer else { continue };
        for name in *shown {
            assert!(tests.contains(*name), "row {row}: there is no test `{name}`");
            named.insert(*name);
        }
    }
    let forgotten: Vec<&String> = tests
        .iter()
        .filter(|name| name.starts_with("incident") && !named.contains(name.as_str()))
        .collect();
    assert!(forgotten.is_empty(), "not in the ledger: {forgotten:?}");
    for (row, _, answer) in LEDGER {
        let Shown(shown) = answer else { continue };
        let number = row.to_lowercase();
        let own = tests.iter().filter(|name| {
            let mut parts = name.split('_').map(|part| part.trim_start_matches('0'));
            name.starts_with("incident") && parts.any(|part| part == number)
        });
        for name in own {
            assert!(
                shown.contains(&name.as_str()),
                "row {row} does not name its `{name}`"
            );
        }
    }
}

#[test]
fn what_keeps_asking_and_deciding_apart_is_attacked_on_the_running_server() {
    let running = served();
    for attacked in ATTACKED {
        let row = LEDGER.iter().find(|(row, ..)| *row == attacked);
        let Some((_, _, Shown(shown))) = row else {
            panic!("{attacked} is not shown")
        };
        let one = shown.iter().find(|name| running.contains(**name));
        assert!(one.is_some(), "row {attacked}: no test of it starts the server");
    }
}

/// Tests whose own body starts the server.
fn served() -> BTreeSet<String> {
    let test = Regex::new(r"(?s)#\[tokio::test[^\n]*\nasync fn (\w+)\(\) \{\n(.*?)\n\}\n").unwrap();
    let mut found = BTreeSet::new();
    let mut folders = vec![root().join("tests/it")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let starts = |body: &str| {
                    [".serve()", ".serve_here()"]
                        .iter()
                        .any(|start| body.contains(start))
                };
                let all = test.captures_iter(&text);
                found.extend(all.filter(|one| starts(&one[2])).map(|one| one[1].to_owned()));
            }
        }
    }
    found
}

/// Names of functions that carry a test attribute.
pub(super) fn tests_of_this_repository() -> BTreeSet<String> {
    let test = Regex::new(r"#\[(?:tokio::)?test(?:\([^)]*\))?\]\s*(?:#\[[^\]]*\]\s*)*(?:async )?fn (\w+)\(")
        .unwrap();
    let mut found = BTreeSet::new();
    for folder in ["src", "tests/it"] {
        read(&root().join(folder), &test, &mut found);
    }
    assert!(found.len() > 400, "the reader reads: {}", found.len());
    found
}

fn read(folder: &Path, test: &Regex, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, test, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.extend(test.captures_iter(&text).map(|named| named[1].to_owned()));
        }
    }
}
