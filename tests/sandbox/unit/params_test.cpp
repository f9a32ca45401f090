#include "params.hpp"

#include <gtest/gtest.h>

namespace sandbox {
namespace {

/// A request whose body has the padding behind it that the server's buffers have.
struct Sample {
  Sample(std::string_view type, std::string_view its_body, std::string_view query = {}) : body(its_body) {
    body.reserve(body.size() + 64);
    request.body = body;
    request.query = query;
    request.headers.push_back({"Content-Type", type});
  }
  std::string body;
  Request request;
};

void expect_all(const Sample& sample) {
  Params params;
  std::string why;
  ASSERT_TRUE(params.read(sample.request, why)) << why;
  EXPECT_EQ(params.integer("chat_id"), 5);
  EXPECT_EQ(params.text("text"), "a b\xC3\xA9");
  EXPECT_TRUE(params.flag("protect_content"));
  Json entities;
  ASSERT_TRUE(params.json("entities", entities));
  EXPECT_EQ(number_of(entities.at(0), "length"), 3);
  EXPECT_FALSE(params.has("parse_mode"));
}

TEST(Params, AreTheSameInEveryEncoding) {
  expect_all(
      {"application/json",
       R"({"chat_id":5,"text":"a b\u00e9","protect_content":true,"entities":[{"length":3}],"parse_mode":null})"});
  expect_all({"application/json; charset=utf-8",
              R"({"chat_id":"5","text":"a bé","protect_content":true,"entities":"[{\"length\":3}]"})"});
  expect_all({"application/x-www-form-urlencoded",
              "chat_id=5&text=a+b%C3%A9&protect_content=true&entities=%5B%7B%22length%22%3A3%7D%5D"});
  expect_all({"", "", "chat_id=5&text=a+b%C3%A9&protect_content=1&entities=[{\"length\":3}]"});
  expect_all({"multipart/form-data; boundary=\"xY\"",
              "--xY\r\nContent-Disposition: form-data; "
              "name=\"chat_id\"\r\n\r\n5\r\n--xY\r\ncontent-disposition:form-data;name=text\r\n\r\n"
              "a b\xC3\xA9\r\n--xY\r\nContent-Disposition: form-data; "
              "name=\"protect_content\"\r\n\r\ntrue\r\n--xY\r\n"
              "Content-Disposition: form-data; name=\"entities\"\r\n\r\n[{\"length\":3}]\r\n--xY--\r\n"});
}

TEST(Params, ReadUploads) {
  const Sample sample("multipart/form-data; boundary=b",
                      "--b\r\nContent-Disposition: form-data; name=\"document\"; "
                      "filename=\"a;b.txt\"\r\nContent-Type: text/plain\r\n\r\n"
                      "bytes\r\n--not the mark\r\n\r\n--b--\r\n");
  Params params;
  std::string why;
  ASSERT_TRUE(params.read(sample.request, why));
  const Param* file = params.find("document");
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(file->kind, Param::Kind::File);
  EXPECT_EQ(file->file_name, "a;b.txt");
  EXPECT_EQ(file->content_type, "text/plain");
  EXPECT_EQ(file->text, "bytes\r\n--not the mark\r\n");
}

TEST(Params, RefuseWhatIsBroken) {
  Params params;
  std::string why;
  for (const std::string_view body : {"{", "[]", "3", "{\"a\":}", "{\"a\":\"\xFF\"}"}) {
    EXPECT_FALSE(params.read(Sample("application/json", body).request, why)) << body;
  }
  for (const std::string_view body :
       {"--b", "--b\r\nno end of head", "--b\r\nA: b\r\n\r\nno mark", "nothing"}) {
    EXPECT_FALSE(params.read(Sample("multipart/form-data; boundary=b", body).request, why)) << body;
  }
}

TEST(Params, NumbersMustBeWholeNumbers) {
  const Sample sample("application/json", R"({"a":"12x","b":1.5,"c":"-7","d":""})");
  Params params;
  std::string why;
  ASSERT_TRUE(params.read(sample.request, why));
  EXPECT_FALSE(params.integer("a"));
  EXPECT_FALSE(params.integer("b"));
  EXPECT_EQ(params.integer("c"), -7);
  EXPECT_FALSE(params.integer("d"));
}

}  // namespace
}  // namespace sandbox
