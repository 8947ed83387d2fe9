import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/** Clicks from standard input, one a line: java Publish localhost:9092 interest.clicks */
public final class Publish {
  public static void main(String[] args) throws Exception {
    var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    var text = new StringSerializer();
    Map<String, Object> settings = Map.of("bootstrap.servers", args[0], "acks", "all"); // murmur2 is the default
    try (var producer = new KafkaProducer<String, String>(settings, text, text)) {
      for (String click; (click = lines.readLine()) != null; ) {
        String user = JsonParser.parseString(click).getAsJsonObject().get("user_id").getAsString();
        producer.send(new ProducerRecord<>(args[1], user, click), (sent, error) -> {
          if (error != null) error.printStackTrace();
        });
      }
    }
  }
}
