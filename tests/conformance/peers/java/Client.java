// A real HTTP client, of Java's HttpClient, for the tests. It begins with an upgrade from HTTP/1.1 (`upgrade: h2c`), as
// it does by default.
//
//   java Client.java URL OUT CALL...      a CALL is three words: METHOD PATH SIZE
//
// One call after the other; what it sends and prints is what ../go/main.go says, but it knows no trailers.

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;

class Client {
    public static void main(String[] words) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int n = 0; 3 * n + 4 < words.length; n++) {
            byte[] body = new byte[Integer.parseInt(words[3 * n + 4])];
            for (int i = 0; i < body.length; i++) {
                body[i] = (byte) (i % 251);
            }
            HttpRequest request = HttpRequest.newBuilder(URI.create(words[0] + words[3 * n + 3]))
                    .method(words[3 * n + 2], body.length == 0
                            ? HttpRequest.BodyPublishers.noBody()
                            : HttpRequest.BodyPublishers.ofByteArray(body))
                    .build();
            HttpResponse<byte[]> response = client.send(request, HttpResponse.BodyHandlers.ofByteArray());
            Files.write(Path.of(words[1], String.valueOf(n)), response.body());
            int version = response.version() == HttpClient.Version.HTTP_2 ? 2 : 1;
            System.out.println(response.statusCode() + " " + version + " -");
        }
    }
}
