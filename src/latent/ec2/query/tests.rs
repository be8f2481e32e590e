//! The form of a call and the data of an answer.

use serde_json::json;

use super::*;

fn query(service: &str, action: &str, params: Json) -> Query {
    Query { service: service.into(), action: action.into(), params }
}

#[test]
fn parameters_are_flattened() {
    let params = json!({
        "Filter": [{ "Name": "tag:a b", "Value": ["x", "y"] }, { "Name": "n", "Value": ["1"] }],
        "DryRun": true, "MaxResults": 5, "None": null, "Ebs": { "Size": 8 }, "Ids": [],
    });
    let body = form(&query("ec2", "DescribeInstances", params)).unwrap();
    let mut pairs: Vec<String> = body.split('&').map(str::to_owned).collect();
    assert_eq!(pairs.remove(0), "Action=DescribeInstances");
    pairs.sort();
    let expected = [
        "DryRun=true",
        "Ebs.Size=8",
        "Filter.1.Name=tag%3Aa+b",
        "Filter.1.Value.1=x",
        "Filter.1.Value.2=y",
        "Filter.2.Name=n",
        "Filter.2.Value.1=1",
        "MaxResults=5",
        "Version=2016-11-15",
    ];
    assert_eq!(pairs, expected);
    let own = form(&query("sqs", "ListQueues", json!({ "Version": "2012-11-05" }))).unwrap();
    assert_eq!(own, "Action=ListQueues&Version=2012-11-05");
}

#[test]
fn calls_that_can_not_be_made_are_told() {
    let deep = (0..80).fold(json!(1), |inner, _| json!([inner]));
    for (wrong, told) in [
        (query("ec2", "Describe Instances", Json::Null), "the action must be a name"),
        (query("ec2", "A", json!(["x"])), "must be a table of names"),
        (query("ec2", "A", json!({ "Action": "B" })), "must not name the action"),
        (query("sqs", "ListQueues", Json::Null), "the version of sqs's API must be among the parameters"),
        (query("ec2", "A", json!({ "List": vec![1; 3000] })), "more than 2000 parameters"),
        (query("ec2", "A", json!({ "Deep": deep })), "more than 64 tables"),
    ] {
        let refused = form(&wrong).unwrap_err();
        assert!(refused.contains(told), "{refused}");
    }
}

fn caller(region: &str, endpoint_url: Option<&str>) -> Caller {
    Caller {
        keys: Keys { identifier: Secret::new("AKIAEXAMPLE"), secret: Secret::new("hunter2hunter2") },
        token: Some(Secret::new("token-of-an-hour")),
        region: region.into(),
        endpoint_url: endpoint_url.map(str::to_owned),
    }
}

#[test]
fn the_service_and_the_region_give_the_address() {
    for (service, region, url, expected) in [
        ("ec2", "us-east-1", None, "https://ec2.us-east-1.amazonaws.com/"),
        ("sns", "cn-north-1", None, "https://sns.cn-north-1.amazonaws.com.cn/"),
        ("sns", "us-east-1", Some("http://localhost:5000"), "http://localhost:5000/"),
    ] {
        assert_eq!(endpoint(service, &caller(region, url)).unwrap().as_str(), expected);
    }
    // A name can't lead elsewhere.
    for service in ["", "evil.example.org/", "EC2", "ec2#"] {
        assert!(endpoint(service, &caller("us-east-1", None)).unwrap_err().contains("must be a name"), "{service}");
    }
}

#[test]
fn an_answer_is_plain_data() {
    let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- from the documentation --><DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
  <requestId>r-1</requestId>
  <reservationSet>
    <item><instancesSet><item><instanceId>i-1</instanceId><tagSet/><reason/><note>a &lt;b&gt; &#x26; <![CDATA[<c>]]></note></item></instancesSet></item>
  </reservationSet>
  <Message>one</Message><Message>two</Message>
  <Names><member>x</member></Names>
</DescribeInstancesResponse>"#;
    let instance = json!({ "instanceId": "i-1", "tagSet": [], "reason": "", "note": "a <b> & <c>" });
    let expected = json!({
        "requestId": "r-1", "reservationSet": [{ "instancesSet": [instance] }], "Message": ["one", "two"], "Names": ["x"],
    });
    assert_eq!(answer(200, xml.as_bytes()), Ok(expected));
    assert_eq!(answer(200, b"<DeleteThingResponse/>"), Ok(json!({})));
}

#[test]
fn errors_have_code_and_message() {
    let ec2 =
        "<Response><Errors><Error><Code>InvalidAction</Code><Message>no &quot;such&quot; action</Message></Error></Errors></Response>";
    let told = answer(400, ec2.as_bytes()).unwrap_err();
    assert_eq!(told.to_string(), "InvalidAction: no \"such\" action");
    let other = "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code></Error></ErrorResponse>";
    assert_eq!(answer(400, other.as_bytes()).unwrap_err().code.as_deref(), Some("Throttling"));
    assert_eq!(answer(503, b"<html>busy <b>now</html>").unwrap_err().to_string(), "answered 503: <html>busy <b>now</html>");
}

#[test]
fn hostile_answers_are_refused() {
    let deep = format!("{}{}", "<a>".repeat(100), "</a>".repeat(100));
    let many = format!("<a>{}</a>", "<b/>".repeat(MOST_ELEMENTS));
    for (xml, told) in [
        ("<a><b></a></b>", "b ends as a"),
        ("<a>", "too early"),
        ("", "too early"),
        ("<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", "document type"),
        ("<a>&x;</a>", "the unknown '&x;'"),
        (&deep, "one in more than 64"),
        (&many, "more than 500000 elements"),
        ("\u{0}", "unknown token"),
    ] {
        let refused = answer(200, xml.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains("the answer can't be read") && refused.contains(told), "{refused}");
    }
}

#[test]
fn what_was_signed_is_not_repeated() {
    let caller = caller("us-east-1", None);
    let told = caller.mask().owned("String-to-sign: AKIAEXAMPLE hunter2hunter2 token-of-an-hour".into());
    assert!(!told.contains("AKIA") && !told.contains("hunter2") && !told.contains("an-hour"), "{told}");
}
