//! The command line of the upload that was lost after five hours, word for word but for its first.

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

/// Three parts of up to 128 MiB that take three, six and nine seconds, and tokens of four. The last
/// of them is refused at first, long before the end of its token.
#[test]
fn the_upload_that_was_lost_passes_through_several_token_lives() {
    let slow = |part: u32, ms| {
        let stall = Fault::StallBody { bytes: 1_000_000, ms: Some(ms) };
        FaultRule::on(Operation::UploadPart, stall).part(part)
    };
    let refused = FaultRule::on(Operation::UploadPart, Fault::DistrustToken).part(3);
    let plan = FaultPlan::new().with(slow(1, 3000)).with(slow(2, 6000));
    let plan = plan.with(refused.when(Trigger::Attempt(1))).with(slow(3, 9000));
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
    // One part was refused, and those that were signed with the same token had been taken.
    fixture.assert_max_401s(1, &done);
    let of = |operation| fixture.store.requests_of(operation).last().unwrap().generation.unwrap();
    assert!(of(Operation::CommitMultipartUpload) >= of(Operation::CreateMultipartUpload) + 3);
    assert!(done.took > Duration::from_secs(8));
    // `--no-overwrite`: the object stays as it is.
    put().run().fails(6).stderr_has(&["exists already"]);
}
