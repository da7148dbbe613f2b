//! The command line of an upload that another client lost after five hours, apart from the
//! program's name.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use emulator::Operation;
use emulator::fault::{Fault, FaultPlan, FaultRule, Trigger};

use crate::common::run::ocipipe;
use crate::common::stream::{Ramp, assert_same};
use crate::fixture::Fixture;

const MIB: usize = 1 << 20;
const SIZE: usize = 300 * MIB;

/// Three parts of up to 128 MiB that take 3, 6 and 9 s, and tokens of 4 s. The last part is
/// rejected at its first attempt, long before the expiry of its token.
#[test]
fn the_upload_that_was_lost_succeeds_across_several_token_lifetimes() {
    let slow = |part: u32, ms| {
        let stall = Fault::StallBody { bytes: 1_000_000, ms: Some(ms) };
        FaultRule::on(Operation::UploadPart, stall).part(part)
    };
    let rejected = FaultRule::on(Operation::UploadPart, Fault::DistrustToken).part(3);
    let plan = FaultPlan::new().with(slow(1, 3000)).with(slow(2, 6000));
    let plan = plan.with(rejected.when(Trigger::Attempt(1))).with(slow(3, 9000));
    let fixture = Fixture::with(4, |options| options.faults = plan);
    let file = fixture.home("dump");
    {
        let (mut file, mut ramp) = (File::create(&file).unwrap(), Ramp::default());
        (0..SIZE / MIB).for_each(|_| file.write_all(&ramp.take(MIB)).unwrap());
    }
    fixture.log_in();
    fixture.copy_token();
    let put = || {
        let line = "put --bucket-name backups --name dump --file dump --storage-tier Archive \
                    --no-overwrite --part-size 128 --parallel-upload-count 15 --verify-checksum \
                    --auth security_token --region eu-frankfurt-1 --debug";
        let url = fixture.store.server().url();
        ocipipe(line.split_whitespace())
            .within(&fixture.home(""))
            .var("OCI_CLI_CONFIG_FILE", fixture.config())
            .var("OCI_CLI_ENDPOINT", &url)
            .var("OCI_CLI_PROFILE", "SESSION")
            .var("OCIPIPE_AUTH_ENDPOINT", &url)
    };
    let done = put().run().exits(0);
    let receipt = done.receipt();
    assert_eq!((&receipt["size"], &receipt["parts"]), (&SIZE.into(), &3.into()));
    assert!(receipt["token-refreshes"].as_u64().unwrap() >= 4, "{receipt}");
    assert_same(&fixture.store.object("dump").unwrap(), &Ramp::default().take(SIZE));
    assert_eq!(fixture.store.object_record("dump")["properties"]["storage_tier"], "Archive");
    fixture.store.assert_no_open_upload();
    // One part was rejected; the earlier ones with the same token had been accepted.
    fixture.assert_max_401s(1, &done);
    let of = |operation| fixture.store.requests_of(operation).last().unwrap().generation.unwrap();
    assert!(of(Operation::CommitMultipartUpload) >= of(Operation::CreateMultipartUpload) + 3);
    assert!(done.took > Duration::from_secs(8));
    // `--no-overwrite`: an existing object is not replaced. A new token, because the comparison above
    // may take longer than the lifetime of the last one.
    fixture.log_in();
    fixture.copy_token();
    put().run().fails(6).stderr_has(&["exists already"]);
}
