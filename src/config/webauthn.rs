//! `[approval] webauthn`: whether approving needs a security key.

use super::Server;
use super::check::Check;
use super::raw::Text;

impl Check<'_> {
    /// Gives whether it does; `has_control` is whether the file names a side for people at all. Browsers ask for keys only where nobody can change a page on its way, and bind
    /// them to a name (Web Authentication Level 3, sections 5.1.7 and 13.4.9).
    pub(super) fn webauthn(
        &mut self,
        raw: Option<&Text>,
        server: Option<&Server>,
        has_control: bool,
    ) -> Option<bool> {
        let Some(raw) = raw else {
            return Some(false);
        };
        match raw.get_ref().as_str() {
            "off" => return Some(false),
            "required" => {}
            _ => {
                self.problems.at(
                    raw.span(),
                    "webauthn is neither \"off\" nor \"required\"",
                    "write webauthn = \"required\" to have people approve with a security key or passkey",
                );
                return None;
            }
        }
        let server = server?; // what is wrong there is said there
        let Some(control) = &server.control else {
            if has_control {
                return None; // the same
            }
            self.problems.at(
                raw.span(),
                "webauthn = \"required\" without a side for people",
                "add control_listen and control_url to [server]: keys are registered and used on its pages",
            );
            return None;
        };
        let name = control.url.domain();
        let secure = control.url.scheme() == "https" || name == Some("localhost");
        if name.is_some() && secure {
            return Some(true);
        }
        self.problems.at(
            raw.span(),
            "webauthn = \"required\", and browsers use no security keys at this control_url",
            "give control_url a host name and https, e.g. \"https://approve.example.com\"; http only at localhost",
        );
        None
    }
}
