//! The zip archive of a session: any bytes are refused with one printable line, or the session that they hold is
//! the same after it was written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocipipe::internals::login::{read_session, write_session};
use proto::login::is_profile_name;

fuzz_target!(|bytes: &[u8]| {
    let session = match read_session(bytes) {
        Ok(session) => session,
        Err(error) => {
            let shown = error.to_string();
            assert!(!shown.is_empty() && !shown.contains(char::is_control), "{shown:?}");
            return;
        }
    };
    assert!(is_profile_name(&session.profile));
    let Ok(written) = write_session(&session) else { return };
    let again = read_session(&written).expect("a written archive can be read");
    assert_eq!(again.profile, session.profile);
    assert_eq!((&again.region, &again.tenancy), (&session.region, &session.tenancy));
    assert_eq!(again.fingerprint, session.fingerprint);
    assert_eq!(*again.key_text, *session.key_text);
    assert_eq!(again.token.secret(), session.token.secret());
    assert!(again.ignored.is_empty());
});
