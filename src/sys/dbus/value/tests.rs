use super::*;
use proptest::prelude::*;

fn written(value: &Value) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.write(value);
    writer.bytes
}

#[test]
fn bytes_are_those_of_the_specification() {
    for (value, bytes) in [
        (Value::from("foo"), &b"\x03\0\0\0foo\0"[..]),
        (Value::from("+"), b"\x01\0\0\0+\0"),
        (Value::from("bar"), b"\x03\0\0\0bar\0"),
        (Value::Signature("su".into()), b"\x02su\0"),
        (Value::Bool(true), b"\x01\0\0\0"),
        (
            Value::Array("x".into(), vec![Value::I64(5)]),
            b"\x08\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0",
        ),
        (Value::Array("t".into(), vec![]), b"\0\0\0\0\0\0\0\0"),
        (Value::Array("s".into(), vec![]), b"\0\0\0\0"),
        (Value::variant(7u64), b"\x01t\0\0\0\0\0\0\x07\0\0\0\0\0\0\0"),
        (
            Value::Struct(vec![Value::Byte(1), Value::U16(2)]),
            b"\x01\0\x02\0",
        ),
    ] {
        assert_eq!(written(&value), bytes, "{value:?}");
        let read = Reader::new(bytes, false).read(&value.signature());
        assert_eq!(read, Ok(vec![value]));
    }
    let mut big = Reader::new(b"\0\0\0\x03foo\0\0\0\0\0\0\0\0\x05", true);
    assert_eq!(big.read("st"), Ok(vec!["foo".into(), Value::U64(5)]));
}

#[test]
fn what_is_malformed_is_refused() {
    for (bytes, types) in [
        (&b""[..], "y"),
        (b"\x02\0\0\0", "b"),
        (b"\x03\0\0\0foo", "s"),
        (b"\x03\0\0\0foox", "s"),
        (b"\x01\0\0\0\xff\0", "s"),
        (b"\xff\xff\xff\xffa", "s"),
        (b"\xff\xff\xff\xff", "ay"),
        (b"\x03\0\0\0\0\0\0\0", "au"),
        (b"\x02yy\0\0\0", "v"),
        (b"\0\0\0\0", "v"),
        (b"\0\0\0\0", "!"),
        (b"\0\0\0\0", "a"),
        (b"\0\0\0\0", "(y"),
        (b"\0\0\0\0\0\0\0\0", "()"),
        (b"\x10\0\0\0\0\0\0\0", "a()"),
        (b"\0\0\0\0\0\0\0\0", "a{}"),
        (b"\x01\0\0\0\0\0\0\0\0", "a{y}"),
    ] {
        let read = Reader::new(bytes, false).read(types);
        // An empty array of anything that is a type is well-formed.
        if types == "a{}" {
            assert!(read.is_ok());
        } else {
            assert!(read.is_err(), "{types} {bytes:?}: {read:?}");
        }
    }
    let deep = "a".repeat(200) + "y";
    assert!(Reader::new(&[0; 1000], false).read(&deep).is_err());
    let variants: Vec<u8> = b"\x01v\0".repeat(200);
    assert!(Reader::new(&variants, false).read("v").is_err());
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<u8>().prop_map(Value::Byte),
        any::<bool>().prop_map(Value::Bool),
        any::<i16>().prop_map(Value::I16),
        any::<u16>().prop_map(Value::U16),
        any::<i32>().prop_map(Value::I32),
        any::<u32>().prop_map(Value::U32),
        any::<i64>().prop_map(Value::I64),
        any::<u64>().prop_map(Value::U64),
        (-1e9..1e9).prop_map(Value::F64),
        "[a-z0-9/äö]{0,12}".prop_map(Value::Text),
        any::<u32>().prop_map(Value::Fd),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Value::Struct),
            inner.clone().prop_map(|value| Value::Variant(Box::new(value))),
            (inner.clone(), 0..3usize)
                .prop_map(|(value, count)| Value::Array(value.signature(), vec![value; count])),
            ("[a-z]{1,4}", inner).prop_map(|(key, value)| {
                let entry = Value::Entry(Box::new((Value::Text(key), value)));
                Value::Array(entry.signature(), vec![entry])
            }),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(values in prop::collection::vec(any_value(), 0..4)) {
        let mut writer = Writer::default();
        values.iter().for_each(|value| writer.write(value));
        let mut reader = Reader::new(&writer.bytes, false);
        prop_assert_eq!(reader.read(&signature(&values)), Ok(values));
        prop_assert_eq!(reader.position(), writer.bytes.len());
    }

    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), types in "[ybnqiuxtdsogha(){}v]{0,12}") {
        for big in [false, true] {
            drop(Reader::new(&bytes, big).read(&types));
        }
    }
}
