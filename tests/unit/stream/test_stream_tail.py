from shared import topics
from shared.codec import encode
from shared.events import Alert, Anomaly
from shared.stream.memory import MemoryBroker
from shared.stream.tail import Tail
from tests.data.dashboard_scene import make_alert, make_anomaly


def test_single_topics_can_be_read_from_an_earlier_time_than_the_others() -> None:
    broker = MemoryBroker()
    broker.ensure_topics()
    anomaly = make_anomaly("BTC-USDT", event_us=1, price=1.0)
    producer = broker.producer()
    for topic, event in ((topics.ANOMALIES, anomaly), (topics.ALERTS, make_alert(anomaly))):
        producer.produce(topic, encode(event), key=b"BTC-USDT")
    assert producer.flush(1) == 0
    names = (topics.ANOMALIES, topics.ALERTS)
    late = Tail(broker, names, since_us=None, earlier_us={topics.ALERTS: 0})
    assert [type(received.event) for received in late.poll()] == [Alert]
    early = Tail(broker, names, since_us=0)
    assert {type(received.event) for received in early.poll()} == {Alert, Anomaly}
