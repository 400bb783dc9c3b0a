//! Data Exchange: what is listed is in the folder, and what is exported lies in the bucket.

use aws_sdk_dataexchange::Client;
use aws_sdk_dataexchange::error::ProvideErrorMetadata;
use aws_sdk_dataexchange::operation::get_job::GetJobOutput;
use aws_sdk_dataexchange::types::{
    AssetDestinationEntry, ExportAssetsToS3RequestDetails, ExportRevisionsToS3RequestDetails, RequestDetails,
    RevisionDestinationEntry, State, Type,
};
use serde_json::json;

use crate::emulator::NO_BUCKET;
use crate::support::{Offline, until};

fn revision(id: &str, bucket: &str) -> RequestDetails {
    let to = RevisionDestinationEntry::builder()
        .revision_id(id)
        .bucket(bucket)
        .key_pattern("landing/${DataSet.Id}/${Revision.Id}/${Asset.Name}")
        .build()
        .unwrap();
    let details =
        ExportRevisionsToS3RequestDetails::builder().data_set_id("eod").revision_destinations(to).build().unwrap();
    RequestDetails::builder().export_revisions_to_s3(details).build()
}

async fn create(client: &Client, bucket: &str) -> String {
    let request = client.create_job().r#type(Type::ExportRevisionsToS3).details(revision("r1", bucket));
    request.send().await.unwrap().id.unwrap()
}

async fn ended(client: &Client, job: &str) -> GetJobOutput {
    let ask = || async { client.get_job().job_id(job).send().await.unwrap() };
    until(ask, |job| !matches!(job.state, Some(State::Waiting | State::InProgress))).await
}

async fn started() -> (Offline, Client) {
    let offline = Offline::start().await;
    offline.publish("eod", "r1", "2013-02-26T22:30:00Z", &[("a.csv", "first a"), ("b c.csv", "first b")]);
    offline.publish("eod", "r2", "2013-02-27T22:30:00Z", &[("a.csv", "second a")]);
    let client = Client::new(&offline.config());
    (offline, client)
}

#[tokio::test]
async fn lists_what_the_folder_has_at_the_moment_in_pages() {
    let (offline, client) = started().await;
    let sets = client.list_data_sets().send().await.unwrap();
    assert_eq!(sets.data_sets().iter().map(|set| set.id()).collect::<Vec<_>>(), ["eod"]);
    let first = client.list_data_set_revisions().data_set_id("eod").max_results(1).send().await.unwrap();
    let [last_published] = first.revisions() else { panic!("a page of one: {first:?}") };
    assert_eq!((last_published.id(), last_published.finalized()), ("r2", true));
    assert_eq!(last_published.created_at().to_string(), "2013-02-27T22:30:00Z");
    assert_eq!(last_published.updated_at(), last_published.created_at());
    let next = client.list_data_set_revisions().data_set_id("eod").max_results(1);
    let next = next.next_token(first.next_token().unwrap()).send().await.unwrap();
    assert_eq!((next.revisions()[0].id(), next.next_token()), ("r1", None));
    let assets = client.list_revision_assets().data_set_id("eod").revision_id("r1").send().await.unwrap();
    assert_eq!(assets.assets().iter().map(|asset| asset.name()).collect::<Vec<_>>(), ["a.csv", "b c.csv"]);
    offline.publish("eod", "r3", "2013-02-28T22:30:00Z", &[]);
    let got = client.get_revision().data_set_id("eod").revision_id("r3").send().await.unwrap();
    assert_eq!((got.id(), got.data_set_id(), got.finalized()), (Some("r3"), Some("eod"), true));
}

#[tokio::test]
async fn a_started_job_puts_every_asset_where_the_pattern_says_and_starts_once() {
    let (offline, client) = started().await;
    let job = create(&client, "bucket").await;
    let waiting = client.get_job().job_id(&job).send().await.unwrap();
    assert_eq!((waiting.state, offline.emulator.objects.lock().unwrap().len()), (Some(State::Waiting), 0));
    client.start_job().job_id(&job).send().await.unwrap();
    let again = client.start_job().job_id(&job).send().await.unwrap_err();
    assert!(again.as_service_error().unwrap().is_conflict_exception(), "{again:?}");
    assert_eq!(ended(&client, &job).await.state, Some(State::Completed));
    assert_eq!(offline.emulator.object("bucket/landing/eod/r1/a.csv").as_deref(), Some("first a"));
    assert_eq!(offline.emulator.objects.lock().unwrap().len(), 2, "and not revision.json");
    let again = client.start_job().job_id(&job).send().await.unwrap_err();
    assert!(again.as_service_error().unwrap().is_conflict_exception(), "{again:?}");
    let listed = client.list_jobs().send().await.unwrap();
    assert_eq!(listed.jobs().iter().map(|job| job.state().clone()).collect::<Vec<_>>(), [State::Completed]);
}

#[tokio::test]
async fn a_single_asset_goes_to_its_key() {
    let (offline, client) = started().await;
    let to = AssetDestinationEntry::builder().asset_id("a.csv").bucket("bucket").key("one/x.csv").build().unwrap();
    let details = ExportAssetsToS3RequestDetails::builder().data_set_id("eod").revision_id("r2");
    let details =
        RequestDetails::builder().export_assets_to_s3(details.asset_destinations(to).build().unwrap()).build();
    let job = client.create_job().r#type(Type::ExportAssetsToS3).details(details).send().await.unwrap().id.unwrap();
    client.start_job().job_id(&job).send().await.unwrap();
    assert_eq!(ended(&client, &job).await.state, Some(State::Completed));
    assert_eq!(offline.emulator.object("bucket/one/x.csv").as_deref(), Some("second a"));
}

#[tokio::test]
async fn a_job_fails_with_a_reason_of_its_own_or_as_told() {
    let (offline, client) = started().await;
    let job = create(&client, NO_BUCKET).await;
    client.start_job().job_id(&job).send().await.unwrap();
    let failed = ended(&client, &job).await;
    assert_eq!(failed.state, Some(State::Error));
    assert!(failed.errors()[0].message().contains(NO_BUCKET), "{failed:?}");
    offline.fault(json!({ "service": "dataexchange", "do": "fail_job", "message": "the key is gone" })).await;
    let job = create(&client, "bucket").await;
    client.start_job().job_id(&job).send().await.unwrap();
    let failed = ended(&client, &job).await;
    assert_eq!((failed.state.clone(), failed.errors()[0].message()), (Some(State::Error), "the key is gone"));
    assert_eq!(offline.emulator.objects.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_cancelled_job_copies_nothing_and_is_not_started() {
    let (offline, client) = started().await;
    let job = create(&client, "bucket").await;
    client.cancel_job().job_id(&job).send().await.unwrap();
    assert!(
        client.start_job().job_id(&job).send().await.unwrap_err().as_service_error().unwrap().is_conflict_exception()
    );
    assert_eq!(ended(&client, &job).await.state, Some(State::Cancelled));
    assert_eq!(offline.emulator.objects.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn what_is_unknown_is_not_found_and_an_id_is_never_a_path() {
    let (_offline, client) = started().await;
    let not_found = Some("ResourceNotFoundException");
    let job = client.get_job().job_id("nobody").send().await.unwrap_err();
    assert_eq!(job.code(), not_found);
    let start = client.start_job().job_id("nobody").send().await.unwrap_err();
    assert_eq!(start.code(), not_found);
    for id in ["nobody", "..", "../products/eod"] {
        let set = client.list_data_set_revisions().data_set_id(id).send().await.unwrap_err();
        assert_eq!(set.code(), not_found, "{id}");
    }
    let create = client.create_job().r#type(Type::ExportRevisionsToS3).details(revision("nobody", "bucket"));
    assert_eq!(create.send().await.unwrap_err().code(), not_found);
}
