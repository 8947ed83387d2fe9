import java.util.List;
import redis.clients.jedis.RedisClient;

/** Shows what Redis holds of a user: java Read redis://localhost:6379 */
public final class Read {
  public static void main(String[] args) {
    try (var redis = RedisClient.create(args[0])) {
      var reader = new InterestReader(redis, "");

      reader.get("u42").ifPresent(interest -> { // empty if unknown
        System.out.println(interest.vector().length); // float[64]
        System.out.println(interest.topics()); // {Drama=0.31, Comedy=0.22, ...}
        System.out.println(interest.windows().get("24h").clicks());
      });
      System.out.println(reader.getMany(List.of("u42", "u43")).keySet()); // one round trip
    }
  }
}
